// SPDX-License-Identifier: Apache-2.0
#include "memory/slot_arena.hpp"

#include <algorithm>
#include <utility>

#include "memory/slot.hpp"

namespace grainfabric {

SlotArena::SlotArena(std::size_t capacity, std::size_t batch, Placement placement)
    : capacity_(capacity),
      batch_(std::max<std::size_t>(batch, 1)),
      placement_(std::move(placement)) {}

SlotArena::Slot SlotArena::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    const std::size_t stride = slot_stride(capacity_);
    const auto region = Region::create(stride * batch_, "grainfabric-pool", placement_);
    for (std::size_t i = batch_; i-- > 0;) free_.push_back({region, i * stride});
  }
  Slot slot = std::move(free_.back());
  free_.pop_back();
  return slot;
}

void SlotArena::give_back(Slot slot) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(slot));
}

}  // namespace grainfabric
