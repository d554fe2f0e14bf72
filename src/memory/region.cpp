// SPDX-License-Identifier: Apache-2.0
#include "memory/region.hpp"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "memory/numa.hpp"
#include "memory/slot.hpp"

namespace grainfabric {
namespace {

/// Of x86-64, and of arm64 with pages of 4 KiB; where it is another, nothing is lost.
constexpr std::size_t kHugePage = std::size_t{2} << 20U;

/// MADV_COLLAPSE of Linux 6.1, which older headers lack.
constexpr int kCollapse = 25;

/// Maps all of a file, at a place where huge pages fit, and asks for them: fewer entries in the
/// tables of the processor and of an RDMA device. The kernel gives them where
/// /sys/kernel/mm/transparent_hugepage/shmem_enabled is "advise" (or more), and maps as such those
/// that whoever made the file has. MAP_FAILED and errno.
void* map_shared(int fd, std::size_t size, int access) {
  if (size < kHugePage) return ::mmap(nullptr, size, access, MAP_SHARED, fd, 0);
  const std::size_t whole = page_align(size);
  const std::size_t room = whole + kHugePage;
  void* reserved =
      ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  auto* const begin = static_cast<std::byte*>(reserved);
  const auto misplaced = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  std::byte* const place = begin + (misplaced == 0 ? 0 : kHugePage - misplaced);
  void* data = ::mmap(place, size, access, MAP_SHARED | MAP_FIXED, fd, 0);
  if (data == MAP_FAILED) {
    const int error_number = errno;
    ::munmap(reserved, room);
    errno = error_number;
    return MAP_FAILED;
  }
  if (place > begin) ::munmap(begin, static_cast<std::size_t>(place - begin));
  ::munmap(place + whole, static_cast<std::size_t>(begin + room - (place + whole)));
  static_cast<void>(::madvise(data, size, MADV_HUGEPAGE));  // EINVAL: a kernel without them
  return data;
}

/// Of new memory: where there is one small page, a huge one can be made.
void make_huge(std::byte* data, std::size_t size) {
  const std::size_t whole = size - size % kHugePage;
  for (std::size_t i = 0; i < whole; i += kHugePage) data[i] = std::byte{0};
  if (whole == 0 || ::madvise(data, whole, kCollapse) == 0) return;
  static std::atomic_flag told;
  if (told.test_and_set()) return;
  log(LogLevel::warning, "memory",
      std::string("There are no huge pages to be had, others serve: ") + std::strerror(errno) +
          " (they take Linux 6.1, and memory in pieces that large)");
}

/// What a file is, as far as mapping it is concerned.
struct Mappable {
  std::size_t size = 0;
  bool is_dmabuf = false;
  bool is_whole = false;  ///< Its size is there to stay: no access to it raises SIGBUS.
};

/// By its name in /proc, which the kernel makes up.
bool is_named_as_dmabuf(int file) {
  constexpr std::string_view kPrefix = "/dmabuf";
  std::array<char, kPrefix.size()> name{};
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const ssize_t size = ::readlink(path.c_str(), name.data(), name.size());
  return size >= 0 && std::string_view(name.data(), static_cast<std::size_t>(size)) == kPrefix;
}

enum class Seal { if_it_may, not_ours };

Mappable look_at(int file, Seal seal) {
  // Neither of these asks the file's file system, which may be a process (FUSE) that takes as long
  // over the answer as it likes.
  if (::fcntl(file, F_GET_SEALS) < 0 && !is_named_as_dmabuf(file)) return {};
  struct statfs where {};
  if (::fstatfs(file, &where) != 0) return {};
  Mappable found;
  found.is_dmabuf = where.f_type == DMA_BUF_MAGIC;
  found.is_whole = found.is_dmabuf;
  // Huge pages of hugetlbfs are not: a hole punched into them may find no page to fill it.
  if (!found.is_dmabuf && where.f_type != HUGETLBFS_MAGIC) {
    if (seal == Seal::if_it_may) static_cast<void>(::fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
    const int seals = ::fcntl(file, F_GET_SEALS);
    found.is_whole = seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
  }
  // Only now: before it was sealed, it could be cut behind our back.
  struct stat is {};
  if (::fstat(file, &is) != 0 || is.st_size <= 0) return {};
  found.size = static_cast<std::size_t>(is.st_size);
  return found;
}

void sync_dmabuf(int file, std::uint64_t flags) {
  dma_buf_sync sync{flags};
  while (::ioctl(file, DMA_BUF_IOCTL_SYNC, &sync) != 0 && (errno == EINTR || errno == EAGAIN)) {
  }
}

}  // namespace

std::shared_ptr<Region> Region::create(std::size_t size, const std::string& name,
                                       const Placement& placement) {
  const std::string what = "Cannot create " + name + " of " + std::to_string(size) + " bytes";
  if (size == 0 || size > available_memory()) {
    throw Error(size == 0 ? ErrorCode::invalid_argument : ErrorCode::no_memory,
                what + ": only " + std::to_string(available_memory()) + " bytes are available",
                "Use fewer slots or smaller grains, or give the host or container more memory.");
  }
  size = page_align(size);
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw Error::from_errno(errno, what, "Raise the limit on open files (ulimit -n).");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    throw Error::from_errno(errno, what, "Use fewer slots or smaller grains.");
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    throw Error::from_errno(errno, what + ": cannot seal its size");
  }
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!read_only) throw Error::from_errno(errno, what, "Is /proc mounted?");
  void* data = map_shared(fd.get(), size, PROT_READ | PROT_WRITE);
  if (data == MAP_FAILED) {
    throw Error::from_errno(errno, what, "Use fewer slots, or raise the limit on address space.");
  }
  std::shared_ptr<Region> region(
      new Region(std::move(fd), std::move(read_only), static_cast<std::byte*>(data), size, {true}));
  // Who has the read-only descriptor can open it again for writing (/proc/self/fd): this mapping is
  // to be the last that writes. EINVAL: a kernel before 5.1.
  if (::fcntl(region->fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0 && errno != EINVAL) {
    throw Error::from_errno(errno, what + ": cannot seal it against others");
  }
  place_near(placement.near, region->bytes());
  if (placement.pages == Pages::huge) make_huge(region->data(), size);
  return region;
}

std::shared_ptr<Region> Region::open(UniqueFd file) {
  const Mappable found = look_at(file.get(), Seal::not_ours);
  if (!found.is_whole) {
    throw Error(ErrorCode::protocol, "The peer shares memory that it could take away again");
  }
  void* data = map_shared(file.get(), found.size, PROT_READ);
  if (data == MAP_FAILED) {
    throw Error::from_errno(errno,
                            "Cannot map " + std::to_string(found.size) + " bytes of the peer's",
                            "Raise the limit on address space.");
  }
  return std::shared_ptr<Region>(new Region({}, std::move(file), static_cast<std::byte*>(data),
                                            found.size, {.dmabuf = found.is_dmabuf}));
}

std::shared_ptr<Region> Region::view(int file) {
  // Who allowed seals expects them, and what is lent must not be cut anyway.
  const Mappable found = look_at(file, Seal::if_it_may);
  if (!found.is_whole) return nullptr;
  // A dmabuf cannot be opened again.
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  UniqueFd lent(found.is_dmabuf ? ::fcntl(file, F_DUPFD_CLOEXEC, 0)
                                : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lent) return nullptr;
  // Never written; but devices pin only what may be.
  const bool writable = !found.is_dmabuf && (::fcntl(file, F_GETFL) & O_ACCMODE) == O_RDWR &&
                        (::fcntl(file, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;
  void* data = map_shared(file, found.size, PROT_READ | (writable ? PROT_WRITE : 0));
  if (data == MAP_FAILED) return nullptr;
  return std::shared_ptr<Region>(new Region({}, std::move(lent), static_cast<std::byte*>(data),
                                            found.size, {writable, true, found.is_dmabuf}));
}

std::shared_ptr<Region> Region::borrow(std::span<std::byte> memory) {
  return std::shared_ptr<Region>(
      new Region({}, {}, memory.data(), memory.size(), {true, true, false, true}));
}

void Region::begin_reading() const noexcept {
  if (is_.dmabuf) sync_dmabuf(read_only_fd(), DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
}

void Region::end_reading() const noexcept {
  if (is_.dmabuf) sync_dmabuf(read_only_fd(), DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
}

Region::Region(UniqueFd fd, UniqueFd read_only_fd, std::byte* data, std::size_t size,
               What is) noexcept
    : fd_(std::move(fd)),
      read_only_fd_(std::move(read_only_fd)),
      data_(data),
      size_(size),
      is_(is) {}

Region::~Region() {
  if (!is_.borrowed) ::munmap(data_, size_);
}

}  // namespace grainfabric
