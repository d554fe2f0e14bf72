// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/export.hpp"
#include "base/fd.hpp"
#include "memory/region.hpp"
#include "session/grain.hpp"

namespace grainfabric {

/// The ring of one epoch at the target. Lives as long as anybody holds one of its slots, beyond its
/// session and its Target. Any thread.
class GRAINFABRIC_API IncomingRing {
 public:
  /// `slots` slots for payloads of up to `capacity` bytes. Throws what Region::create throws.
  IncomingRing(std::size_t slots, std::size_t capacity, const Placement& placement = {});

  [[nodiscard]] const std::shared_ptr<Region>& region() const noexcept { return region_; }
  [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Offset of a slot's payload in the region.
  [[nodiscard]] std::size_t payload_offset(std::uint16_t slot) const noexcept {
    return slot * slot_stride(capacity_) + kSlotHeaderSize;
  }

  // For the session that fills the ring.
  /// Called (any thread) when a slot was given back and take_released() was empty. A call may still
  /// be under way when on_released(nullptr) returns.
  void on_released(std::function<void()> wake);
  /// Exchanges `slots`, which is empty, for those given back.
  void take_released(std::vector<std::uint16_t>* slots);
  void release(std::uint16_t slot);
  /// Holds `lifeline` for as long as anybody holds a slot (transport::Endpoint::lifeline()).
  void keep(UniqueFd lifeline);

 private:
  const std::size_t slots_;
  const std::size_t capacity_;
  const std::shared_ptr<Region> region_;
  std::mutex mutex_;
  std::vector<std::uint16_t> released_;
  std::shared_ptr<const std::function<void()>> wake_;
  UniqueFd lifeline_;
};

/// The right to read one slot; its end gives the slot back to the initiator as a credit. Any
/// thread.
class GrainLease {
 public:
  GrainLease() noexcept = default;
  /// `memory` is where the payload lies.
  GrainLease(std::shared_ptr<IncomingRing> ring, std::uint16_t slot,
             std::shared_ptr<Region> memory) noexcept
      : ring_(std::move(ring)), slot_(slot), memory_(std::move(memory)) {}
  GrainLease(GrainLease&&) noexcept = default;
  GrainLease& operator=(GrainLease&& other) noexcept {
    if (this != &other) {
      reset();
      ring_ = std::move(other.ring_);
      slot_ = other.slot_;
      memory_ = std::move(other.memory_);
    }
    return *this;
  }
  ~GrainLease() { reset(); }
  void reset() noexcept {
    memory_.reset();
    if (const auto ring = std::move(ring_)) ring->release(slot_);
  }

  [[nodiscard]] const std::shared_ptr<IncomingRing>& ring() const noexcept { return ring_; }
  [[nodiscard]] std::uint16_t slot() const noexcept { return slot_; }
  /// The ring's own, or the initiator's where the transport shares it. Read it between
  /// Region::begin_reading() and end_reading(): it may be a dmabuf.
  [[nodiscard]] const std::shared_ptr<Region>& memory() const noexcept { return memory_; }

 private:
  std::shared_ptr<IncomingRing> ring_;
  std::uint16_t slot_ = 0;
  std::shared_ptr<Region> memory_;
};

/// A grain as it landed. The spans lie in the slot or in the lease's memory and are valid while the
/// lease is held; nobody changes them meanwhile.
struct IncomingGrain {
  GrainInfo info;
  bool discont = false;  ///< First of a session: what came before may be missing.
  std::span<const std::byte> metadata;
  std::span<const std::byte> payload;
  GrainLease lease;
};

}  // namespace grainfabric
