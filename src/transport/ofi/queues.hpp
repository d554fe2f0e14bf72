// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_eq.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "transport/ofi/device.hpp"
#include "transport/ofi/fid.hpp"
#include "transport/ofi/info.hpp"

/// libfabric's two queues, opened the way Device's provider can be waited for. One thread.
namespace grainfabric::transport::ofi {

/// A completion queue of at least `size` entries, or as many as the device has: a queue shallower
/// than all that can complete at once loses an RDMA connection when it overflows. Throws Error.
Fid<fid_cq> open_completion_queue(const Device& device, std::size_t size);

/// The queue's descriptor; only where Device::sleeps(). Throws Error.
int descriptor_of(fid_t queue, const std::string& device);

/// What happened to a connection.
struct ConnectionEvent {
  enum class Kind { request, connected, shutdown, failed } kind;
  Info request;                 ///< request: whoever asks, to be accepted or rejected.
  std::vector<std::byte> data;  ///< request: its private data. failed: the peer's answer.
  int error_number = 0;         ///< failed: positive, errno or FI_E….
  std::string detail;           ///< failed: the provider's own words; may be empty.
};

/// The queue of connection events of one endpoint and its listener.
class EventQueue {
 public:
  /// Throws Error.
  explicit EventQueue(const Device& device);

  [[nodiscard]] fid_eq* get() const noexcept { return queue_.get(); }
  [[nodiscard]] fid_t base() const noexcept { return queue_.base(); }
  /// -1 where the provider does not sleep.
  [[nodiscard]] int fd() const noexcept { return fd_; }

  /// The next event, if there is one. Never blocks. Throws Error if the queue itself fails.
  std::optional<ConnectionEvent> read();

 private:
  ConnectionEvent read_failure();

  std::string device_;
  Fid<fid_eq> queue_;
  int fd_ = -1;
};

}  // namespace grainfabric::transport::ofi
