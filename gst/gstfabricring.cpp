// SPDX-License-Identifier: Apache-2.0
#include "gstfabricring.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "gstfabricallocator.hpp"
#include "gstptr.hpp"

namespace fabric {

using grainfabric::GrainLease;
using grainfabric::IncomingRing;
using grainfabric::Region;

struct RingMemories::Slots {
  struct Slot {
    GstMemory* idle = nullptr;  // owned while nobody else has it
    GrainLease lease;
  };

  std::shared_ptr<IncomingRing> ring;
  std::vector<ObjectPtr<GstFabricAllocator>> allocators;  // streaming thread; last used in front
  std::mutex mutex;
  std::vector<Slot> slots;
  bool ended = false;  // memories are freed rather than kept

  GstFabricAllocator* allocator_of(const std::shared_ptr<Region>& region);
  void forget_gone();
  static gboolean dispose(GstMiniObject* memory);
};

/// What a memory knows of its slot.
struct RingMemories::Binding {
  std::shared_ptr<Slots> slots;
  std::size_t index;
};

namespace {

/// Regions of an initiator's that are kept in mind: each has several pictures of a pool, or one
/// staged buffer.
constexpr std::size_t kMostAllocators = 32;

/// What only its allocator holds is shared no more: the session would hold it, too.
bool is_gone(GstFabricAllocator* allocator) {
  return gst_fabric_allocator_region(allocator).use_count() == 1;
}

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

/// The ring's region, or those that an initiator shares.
GstFabricAllocator* RingMemories::Slots::allocator_of(const std::shared_ptr<Region>& region) {
  if (std::any_of(allocators.begin(), allocators.end(),
                  [](const auto& one) { return is_gone(one.get()); })) {
    forget_gone();
  }
  auto found = std::find_if(allocators.begin(), allocators.end(), [&](const auto& one) {
    return gst_fabric_allocator_region(one.get()) == region;
  });
  if (found == allocators.end()) {
    if (allocators.size() == kMostAllocators) allocators.pop_back();
    allocators.emplace_back(gst_fabric_allocator_new(region, false));
    found = allocators.end() - 1;
  }
  std::rotate(allocators.begin(), found, found + 1);
  return allocators.front().get();
}

/// Or slots that no grain comes to any more would keep memory that its owner has freed.
void RingMemories::Slots::forget_gone() {
  std::vector<MemoryPtr> idle;  // unreferenced without the lock, which their dispose function takes
  {
    const std::lock_guard lock(mutex);
    for (Slot& slot : slots) {
      if (slot.idle == nullptr || !is_gone(GST_FABRIC_ALLOCATOR(slot.idle->allocator))) continue;
      GST_MINI_OBJECT_CAST(slot.idle)->dispose = nullptr;
      idle.emplace_back(std::exchange(slot.idle, nullptr));
    }
  }
  std::erase_if(allocators, [](const auto& one) { return is_gone(one.get()); });
}

RingMemories::RingMemories(std::shared_ptr<IncomingRing> ring) : slots_(std::make_shared<Slots>()) {
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
  const std::shared_ptr<Region>& region = grain.lease.memory();
  const auto offset = static_cast<gsize>(grain.payload.data() - region->data());
  const bool in_ring = region == slots_->ring->region();
  const gsize capacity = in_ring ? slots_->ring->capacity() : grain.payload.size();
  GstFabricAllocator* const allocator = slots_->allocator_of(region);
  MemoryPtr elsewhere;  // unreferenced without the lock, which its dispose function takes
  const std::lock_guard lock(slots_->mutex);
  auto& slot = slots_->slots[index];
  GstMemory* memory = std::exchange(slot.idle, nullptr);
  if (memory != nullptr && memory->allocator != GST_ALLOCATOR_CAST(allocator)) {
    GST_MINI_OBJECT_CAST(memory)->dispose = nullptr;
    elsewhere.reset(std::exchange(memory, nullptr));
  }
  if (memory == nullptr) {
    memory = gst_fabric_allocator_slot(allocator, offset, capacity, grain.payload.size());
    gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(memory), binding_quark(),
                              new Binding{slots_, index},
                              [](gpointer data) { delete static_cast<Binding*>(data); });
    GST_MINI_OBJECT_CAST(memory)->dispose = Slots::dispose;
  }
  memory->offset = offset;
  memory->maxsize = offset + capacity;
  memory->size = grain.payload.size();
  slot.lease = std::move(grain.lease);
  return memory;
}

}  // namespace fabric
