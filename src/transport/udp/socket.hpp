// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "transport/udp/address.hpp"

namespace grainfabric::transport::udp {

/// A UDP socket bound to a local address, set up for bulk data: long buffers, datagrams that are
/// never fragmented, GRO where the kernel has it. One thread.
class Socket {
 public:
  /// Throws Error: unknown_interface, address_in_use, …
  explicit Socket(const SocketAddress& local);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// With the port that it got.
  [[nodiscard]] SocketAddress name() const;
  /// Only to and from this peer from now on. Throws Error.
  void connect(const SocketAddress& peer);

  /// Payload bytes that the kernel holds for us before it drops any.
  [[nodiscard]] std::size_t receive_window() const;
  /// Longest datagram that the interface to the peer sends; after connect().
  [[nodiscard]] std::size_t largest_datagram() const;
  [[nodiscard]] bool can_segment() const noexcept { return can_segment_; }
  /// GSO failed where the kernel had promised it: some interfaces have no checksum offload.
  void stop_segmenting() noexcept { can_segment_ = false; }

 private:
  int family_;
  UniqueFd fd_;
  bool can_segment_ = false;
};

}  // namespace grainfabric::transport::udp
