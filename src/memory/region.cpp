// SPDX-License-Identifier: Apache-2.0
#include "memory/region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/error.hpp"
#include "memory/slot.hpp"

namespace grainfabric {
namespace {

/// Of x86-64, and of arm64 with pages of 4 KiB; where it is another, nothing is lost.
constexpr std::size_t kHugePage = std::size_t{2} << 20U;

/// Maps all of a memfd, at a place where huge pages fit, and asks for them: fewer entries in the
/// tables of the processor and of an RDMA device. The kernel gives them where
/// /sys/kernel/mm/transparent_hugepage/shmem_enabled is "advise" (or more). MAP_FAILED and errno.
void* map_shared(int fd, std::size_t size) {
  if (size < kHugePage) {
    return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  const std::size_t room = size + kHugePage;
  void* reserved =
      ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  auto* const begin = static_cast<std::byte*>(reserved);
  const auto misplaced = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  std::byte* const place = begin + (misplaced == 0 ? 0 : kHugePage - misplaced);
  void* data = ::mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  if (data == MAP_FAILED) {
    const int error_number = errno;
    ::munmap(reserved, room);
    errno = error_number;
    return MAP_FAILED;
  }
  if (place > begin) ::munmap(begin, static_cast<std::size_t>(place - begin));
  ::munmap(place + size, static_cast<std::size_t>(begin + room - (place + size)));
  static_cast<void>(::madvise(data, size, MADV_HUGEPAGE));  // EINVAL: a kernel without them
  return data;
}

}  // namespace

std::shared_ptr<Region> Region::create(std::size_t size, const std::string& name) {
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
  void* data = map_shared(fd.get(), size);
  if (data == MAP_FAILED) {
    throw Error::from_errno(errno, what, "Use fewer slots, or raise the limit on address space.");
  }
  return std::shared_ptr<Region>(
      new Region(std::move(fd), std::move(read_only), static_cast<std::byte*>(data), size));
}

std::shared_ptr<Region> Region::open(UniqueFd file) {
  struct stat is {};
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  if (::fstat(file.get(), &is) != 0 || is.st_size <= 0 || seals < 0 ||
      (seals & F_SEAL_SHRINK) == 0) {
    throw Error(ErrorCode::protocol, "The peer shares memory that it could take away again");
  }
  const auto size = static_cast<std::size_t>(is.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) {
    throw Error::from_errno(errno, "Cannot map " + std::to_string(size) + " bytes of the peer's",
                            "Raise the limit on address space.");
  }
  return std::shared_ptr<Region>(
      new Region({}, std::move(file), static_cast<std::byte*>(data), size));
}

Region::Region(UniqueFd fd, UniqueFd read_only_fd, std::byte* data, std::size_t size) noexcept
    : fd_(std::move(fd)), read_only_fd_(std::move(read_only_fd)), data_(data), size_(size) {}

Region::~Region() {
  ::munmap(data_, size_);
}

}  // namespace grainfabric
