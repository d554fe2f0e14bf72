// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fifo.hpp"
#include "session/incoming_grain.hpp"
#include "session/protocol.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

/// One epoch at the target: the ring, the data connection into it, and the credits out of it.
/// In turns of the loop only.
class IncomingLane final : private transport::EndpointEvents {
 public:
  /// What a slot holds, all of it checked.
  struct Landed {
    GrainHeader header;
    IncomingGrain grain;
  };

  class Events {
   public:
    virtual void on_lane_connected(IncomingLane& lane) = 0;
    /// The first `valid` slices of a grain are in their slot, more than before and not yet all.
    virtual void on_slices(IncomingLane& lane, const Landed& begun, std::uint32_t valid) = 0;
    /// A whole grain is in the slot; the slot is held until its GrainLease ends.
    virtual void on_landed(IncomingLane& lane, std::uint16_t slot) = 0;
    virtual void on_lane_closed(IncomingLane& lane, const Error& reason) = 0;

   protected:
    ~Events() = default;
  };

  /// Allocates and registers the ring and awaits the data connection. `domain` and `events` are
  /// borrowed. Throws Error: no_memory, locked_memory_limit, …
  IncomingLane(EventLoop& loop, transport::Domain& domain, const protocol::Config& config,
               std::size_t slots, Pages pages, Polling polling, Events& events);
  ~IncomingLane();

  [[nodiscard]] protocol::Ring offer() const;
  [[nodiscard]] std::uint64_t epoch() const noexcept { return config_.epoch; }
  [[nodiscard]] const std::shared_ptr<IncomingRing>& ring() const noexcept { return ring_; }
  [[nodiscard]] transport::Endpoint& endpoint() const noexcept { return *endpoint_; }
  /// Slots that the initiator may write now.
  [[nodiscard]] std::size_t granted() const noexcept { return granted_; }

  /// The grain that landed in `slot`. Throws Error(protocol).
  [[nodiscard]] Landed open(std::uint16_t slot);
  /// Gives the credits of released slots to the initiator.
  void return_credits();

 private:
  struct Slot {
    bool granted = true;
    std::uint16_t announced = 0;  // of the grain that is landing: slices, or immediates
  };

  void on_connected() override;
  void on_completed(std::uint64_t) override {}
  void on_immediate(std::uint32_t immediate) override;
  void on_message(std::span<const std::byte>) override {}
  void on_shared(std::uint32_t id, UniqueFd file) override;
  void on_unshared(std::uint32_t id) override { shared_.erase(id); }
  void on_closed(const Error& reason) override;
  bool take_slices(std::uint16_t slot, std::uint16_t valid);
  [[nodiscard]] std::uint32_t total_slices(std::uint16_t slot) const;
  [[nodiscard]] Landed read(std::uint16_t slot, std::shared_ptr<IncomingRing> holder) const;

  EventLoop& loop_;
  const protocol::Config config_;
  Events& events_;
  const Token token_ = Token::random();
  const std::shared_ptr<IncomingRing> ring_;
  std::unique_ptr<transport::Registration> registration_;
  const bool shares_;
  std::map<std::uint32_t, std::shared_ptr<Region>> shared_;  // the initiator's memory
  std::vector<Slot> slots_;
  std::map<std::uint16_t, Landed> begun_;  // by slot: grains with some slices, and without a lease
  std::size_t granted_;
  std::vector<std::uint16_t> released_;  // used again
  Fifo<std::uint16_t> owed_;             // credits that the endpoint could not take yet
  std::uint64_t credits_given_ = 0;
  bool connected_ = false;
  std::unique_ptr<transport::Endpoint> endpoint_;
  EventLoop::Source watch_;
  EventLoop::Source retry_;
};

}  // namespace grainfabric
