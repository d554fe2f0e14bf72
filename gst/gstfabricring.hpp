// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <memory>

#include "session/incoming_grain.hpp"

namespace fabric {

/// The GstMemorys of one ring, one a slot, made once and used for every grain that lands there.
/// Wraps a grain's lease: the slot goes back to the initiator when the last reference to its
/// memory, or to anything shared from it, is gone. Streaming thread, except what its memories do.
class RingMemories {
 public:
  explicit RingMemories(std::shared_ptr<grainfabric::IncomingRing> ring);
  /// Memories still held downstream stay valid and free themselves.
  ~RingMemories();
  RingMemories(const RingMemories&) = delete;
  RingMemories& operator=(const RingMemories&) = delete;

  [[nodiscard]] bool serves(const grainfabric::IncomingRing* ring) const;
  /// Memory that covers the grain's payload, which is not empty: of the slot, or of the initiator
  /// where that shares it. Takes the lease.
  GstMemory* wrap(grainfabric::IncomingGrain& grain);

 private:
  struct Slots;
  struct Binding;
  std::shared_ptr<Slots> slots_;
};

}  // namespace fabric
