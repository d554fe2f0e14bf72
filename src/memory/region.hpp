// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/export.hpp"
#include "base/fd.hpp"

namespace grainfabric {

/// What memory is made of.
enum class Pages {
  any,   ///< As the kernel likes, at first use; it is asked for huge ones where it may give them.
  huge,  ///< Huge ones now, whatever is set for the system. All of the memory is taken at once.
};

/// What memory is made of, and where.
struct Placement {
  Pages pages = Pages::any;
  /// On the NUMA node nearest to this network interface or RDMA device ("eth0", "mlx5_0"), as far
  /// as it has pages to give; empty, and on a host with one node: where they are first touched.
  std::string near;
};

/// One contiguous shared mapping of a file that cannot be cut while it is mapped, a memfd sealed
/// against that or a dmabuf; or borrowed memory. Immutable after creation; any thread may use it.
/// Shared ownership: a ring outlives its session while somebody still holds one of its slots.
class GRAINFABRIC_API Region {
 public:
  /// Maps `size` bytes (rounded up to pages), zeroed, given by the kernel page by page as they are
  /// touched. `name` shows in /proc/PID/maps. A host that has no huge pages gives others, and the
  /// log says so once. Throws Error(no_memory) when the host or the control group has less memory
  /// available than that, and the errors of the system calls.
  static std::shared_ptr<Region> create(std::size_t size, const std::string& name,
                                        const Placement& placement = {});

  /// Maps a file of another process for reading; what it writes there is seen at once. Throws
  /// Error(protocol) for one that could be cut while it is mapped (SIGBUS would follow), and the
  /// errors of the system calls.
  static std::shared_ptr<Region> open(UniqueFd file);

  /// Maps a file of somebody else in this process (borrowed), all of it, so that it can be lent and
  /// registered like memory of our own. A memfd that may be sealed, and is not, is sealed against
  /// being cut. Null for what could be cut even so (a file with a name, a memfd without
  /// MFD_ALLOW_SEALING), for huge pages, and where a system call fails: that has to be copied.
  static std::shared_ptr<Region> view(int file);

  /// Memory of this process that has no file (borrowed; outlives the region), so that it can be
  /// registered. Its owner keeps the same pages beneath it all the while: a device that has read
  /// from there once goes on with those.
  static std::shared_ptr<Region> borrow(std::span<std::byte> memory);

  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The memfd, open for writing, though only data() writes: neither write() nor another mapping
  /// can (Linux 5.1). -1 of one that was opened, borrowed or is a view.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// The same file opened for reading only (a dmabuf as its owner opened it): what may be handed to
  /// others. -1 of one that was borrowed.
  [[nodiscard]] int read_only_fd() const noexcept { return read_only_fd_.get(); }

  /// Memory of somebody else in this process, who may let go of it at any time.
  [[nodiscard]] bool is_view() const noexcept { return is_.view; }
  /// Whether another process can map it.
  [[nodiscard]] bool can_be_shared() const noexcept { return read_only_fd_.get() >= 0; }
  /// Whether a network device can read from it: not from a dmabuf, whose pages are its exporter's,
  /// nor from what is mapped for reading only, which is refused.
  [[nodiscard]] bool can_be_registered() const noexcept { return is_.writable && !is_.dmabuf; }

  /// Around reading it with the CPU. A dmabuf waits for the device that writes it and has caches
  /// brought up to date (DMA_BUF_IOCTL_SYNC); for other memory they do nothing.
  void begin_reading() const noexcept;
  void end_reading() const noexcept;

 private:
  struct What {
    bool writable = false;  ///< The mapping.
    bool view = false;
    bool dmabuf = false;
    bool borrowed = false;
  };
  Region(UniqueFd fd, UniqueFd read_only_fd, std::byte* data, std::size_t size, What is) noexcept;

  UniqueFd fd_;
  UniqueFd read_only_fd_;
  std::byte* data_;
  std::size_t size_;
  What is_;
};

/// Bytes that could be allocated now without swapping: the least of /proc/meminfo's MemAvailable
/// and what the control group (v2) leaves. SIZE_MAX when neither can be read.
GRAINFABRIC_API std::size_t available_memory();

}  // namespace grainfabric
