// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/export.hpp"
#include "base/fd.hpp"

namespace grainfabric {

/// One contiguous shared mapping of an anonymous file (memfd), sealed against a change of its size.
/// Immutable after creation; any thread may use it. Shared ownership: a ring outlives its session
/// while somebody still holds one of its slots.
class GRAINFABRIC_API Region {
 public:
  /// Maps `size` bytes (rounded up to pages), zeroed, given by the kernel page by page as they are
  /// touched. `name` shows in /proc/PID/maps. Throws Error(no_memory) when the host or the
  /// control group has less memory available than that, and the errors of the system calls.
  static std::shared_ptr<Region> create(std::size_t size, const std::string& name);

  /// Maps a file of another process for reading; what it writes there is seen at once. Throws
  /// Error(protocol) for one that could be cut while it is mapped (SIGBUS would follow), and the
  /// errors of the system calls.
  static std::shared_ptr<Region> open(UniqueFd file);

  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The memfd, readable and writable; -1 of one that was opened.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// The same file opened for reading only: what may be handed to others.
  [[nodiscard]] int read_only_fd() const noexcept { return read_only_fd_.get(); }

 private:
  Region(UniqueFd fd, UniqueFd read_only_fd, std::byte* data, std::size_t size) noexcept;

  UniqueFd fd_;
  UniqueFd read_only_fd_;
  std::byte* data_;
  std::size_t size_;
};

/// Bytes that could be allocated now without swapping: the least of /proc/meminfo's MemAvailable
/// and what the control group (v2) leaves. SIZE_MAX when neither can be read.
GRAINFABRIC_API std::size_t available_memory();

}  // namespace grainfabric
