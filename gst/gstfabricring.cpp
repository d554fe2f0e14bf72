// SPDX-License-Identifier: Apache-2.0
#include "gstfabricring.hpp"

#include <mutex>
#include <utility>
#include <vector>

#include "gstfabricallocator.hpp"
#include "gstptr.hpp"

namespace fabric {

using grainfabric::GrainLease;
using grainfabric::IncomingRing;

struct RingMemories::Slots {
  struct Slot {
    GstMemory* idle = nullptr;  // owned while nobody else has it
    GrainLease lease;
  };

  std::shared_ptr<IncomingRing> ring;
  ObjectPtr<GstFabricAllocator> allocator;
  std::mutex mutex;
  std::vector<Slot> slots;
  bool ended = false;  // memories are freed rather than kept

  static gboolean dispose(GstMiniObject* memory);
};

/// What a memory knows of its slot.
struct RingMemories::Binding {
  std::shared_ptr<Slots> slots;
  std::size_t index;
};

namespace {

GQuark binding_quark() {
  static const GQuark quark = g_quark_from_static_string("fabric-ring-slot");
  return quark;
}

}  // namespace

/// Called for a memory's last reference: keeps it for the next grain, as v4l2's allocator does.
gboolean RingMemories::Slots::dispose(GstMiniObject* memory) {
  const auto* binding = static_cast<Binding*>(gst_mini_object_get_qdata(memory, binding_quark()));
  // These outlast the lock: the lease calls the engine, and may be the slots' last holder.
  const std::shared_ptr<Slots> keeper = binding->slots;
  GrainLease lease;
  const std::lock_guard lock(keeper->mutex);
  Slot& slot = keeper->slots[binding->index];
  lease = std::move(slot.lease);
  if (keeper->ended) return TRUE;
  slot.idle = GST_MEMORY_CAST(gst_mini_object_ref(memory));
  return FALSE;
}

RingMemories::RingMemories(std::shared_ptr<IncomingRing> ring) : slots_(std::make_shared<Slots>()) {
  slots_->allocator.reset(gst_fabric_allocator_new(ring->region(), false));
  slots_->slots.resize(ring->slots());
  slots_->ring = std::move(ring);
}

RingMemories::~RingMemories() {
  std::vector<GstMemory*> idle;
  {
    const std::lock_guard lock(slots_->mutex);
    slots_->ended = true;
    for (auto& slot : slots_->slots) {
      if (slot.idle != nullptr) idle.push_back(std::exchange(slot.idle, nullptr));
    }
  }
  for (GstMemory* memory : idle) gst_memory_unref(memory);
}

bool RingMemories::serves(const IncomingRing* ring) const {
  return slots_->ring.get() == ring;
}

GstMemory* RingMemories::wrap(grainfabric::IncomingGrain& grain) {
  const std::uint16_t index = grain.lease.slot();
  const gsize offset = slots_->ring->payload_offset(index);
  const std::lock_guard lock(slots_->mutex);
  auto& slot = slots_->slots[index];
  GstMemory* memory = std::exchange(slot.idle, nullptr);
  if (memory == nullptr) {
    memory = gst_fabric_allocator_slot(slots_->allocator.get(), offset, slots_->ring->capacity(),
                                       grain.payload.size());
    gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(memory), binding_quark(),
                              new Binding{slots_, index},
                              [](gpointer data) { delete static_cast<Binding*>(data); });
    GST_MINI_OBJECT_CAST(memory)->dispose = Slots::dispose;
  }
  memory->offset = offset;
  memory->maxsize = offset + slots_->ring->capacity();
  memory->size = grain.payload.size();
  slot.lease = std::move(grain.lease);
  return memory;
}

}  // namespace fabric
