// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/export.hpp"
#include "memory/region.hpp"

namespace grainfabric {

/// Slots of one size for the initiator's side, given out one by one from regions of several slots
/// each. It grows with what upstream needs (a decoder keeps references of its own), a region at a
/// time, and never shrinks before it ends. Any thread.
class GRAINFABRIC_API SlotArena {
 public:
  /// `capacity` payload bytes a slot; `batch` slots a region, at least 1.
  SlotArena(std::size_t capacity, std::size_t batch, Placement placement = {});

  struct Slot {
    std::shared_ptr<Region> region;
    std::size_t offset = 0;  ///< Of the slot in its region; the payload is kSlotHeaderSize later.
  };

  /// A free slot, from a new region if there is none. Throws what Region::create throws.
  Slot take();
  void give_back(Slot slot);

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  const std::size_t capacity_;
  const std::size_t batch_;
  const Placement placement_;
  std::mutex mutex_;
  std::vector<Slot> free_;
};

}  // namespace grainfabric
