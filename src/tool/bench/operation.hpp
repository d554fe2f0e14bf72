// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "tool/bench/messages.hpp"
#include "transfer/rail.hpp"
#include "transport/transport.hpp"

namespace grainfabric::tool {

/// The local and the remote memory of a round: equally many slots of the same size, back to back.
struct Slots {
  std::span<std::byte> local;
  const transport::Registration* registration = nullptr;  ///< Of `local`.
  transport::RemoteMemory remote;
  std::size_t size = 0;

  [[nodiscard]] std::span<std::byte> bytes(std::size_t slot) const {
    return local.subspan(slot * size, size);
  }
  [[nodiscard]] std::uint64_t remote_address(std::size_t slot) const {
    return remote.address + slot * size;
  }
};

/// Puts messages on an endpoint in one of the ways there are. Loop thread only.
class Performer {
 public:
  virtual ~Performer() = default;
  /// Queues the message of that slot and posts as much as fits.
  virtual void begin(std::size_t slot) = 0;
  /// From EndpointEvents::on_completed.
  virtual void on_completed(std::uint64_t context) = 0;
  /// Posts what was held back by Posted::again.
  virtual void pump() = 0;
};

/// `completed` is called with a slot that was written or read: its local memory is free to change.
/// Not for sends, which copy. `endpoint` is borrowed and outlives the performer.
std::unique_ptr<Performer> make_performer(Operation operation, transport::Endpoint& endpoint,
                                          const transport::Capabilities& capabilities,
                                          RailOptions options, Slots slots,
                                          std::function<void(std::size_t slot)> completed);

}  // namespace grainfabric::tool
