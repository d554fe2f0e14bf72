// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fifo.hpp"
#include "memory/region.hpp"
#include "session/lingering.hpp"
#include "session/outgoing_grain.hpp"
#include "session/protocol.hpp"
#include "session/slice_cut.hpp"
#include "transfer/rail.hpp"
#include "transfer/registrations.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

class OutgoingLane;

/// A grain on its way to a slot of `lane`, where its header (OutgoingLane::header_block) and its
/// payload (OutgoingLane::hold) are in place.
struct QueuedGrain {
  std::shared_ptr<OutgoingLane> lane;
  std::uint16_t slot = 0;
  std::uint64_t sequence = 0;
  std::span<const std::byte> header;
  SliceCut slices;
};

/// One epoch at the initiator: the peer's ring, the data connection to it, and which of its slots
/// may be written. A slot is writable when its credit is here and the last write to it has left.
///
/// Where the transport shares memory, only headers are written: they say where the payload lies in
/// memory of this side, which is lent until the credit comes back.
/// In turns of the loop, except where said.
class OutgoingLane final : public std::enable_shared_from_this<OutgoingLane>,
                           private transport::EndpointEvents {
 public:
  class Events {
   public:
    virtual void on_lane_ready(OutgoingLane& lane) = 0;
    /// The data connection is of no more use. On the loop thread.
    virtual void on_lane_failed(OutgoingLane& lane, const Error& reason) = 0;
    virtual void on_slot_writable(OutgoingLane& lane, std::uint16_t slot) = 0;
    /// The peer has let go of this grain: it and all before it arrived.
    virtual void on_arrived(OutgoingLane& lane, std::uint64_t sequence) = 0;
    /// Something moved (a piece was written).
    virtual void on_lane_progress() = 0;

   protected:
    ~Events() = default;
  };

  /// Creates and registers the memory of this side. `domain`, `registrations` and `events` are
  /// borrowed until close().
  OutgoingLane(EventLoop& loop, transport::Domain& domain, Registrations& registrations,
               std::uint64_t epoch, RailOptions rail_options, Polling polling, Events& events);
  /// Any thread, after close().
  ~OutgoingLane();

  /// What to ask the peer for.
  [[nodiscard]] protocol::Config config(std::size_t capacity, std::size_t slots) const;
  /// Connects to the ring the peer offers. Throws Error.
  void connect(const protocol::Ring& ring);
  void submit(const QueuedGrain& grain);
  /// Releases what hold() was given: of a grain that is not submitted, or whose memory is not
  /// needed any more.
  void let_go(std::uint16_t slot);
  /// Lets go of what was kept for memory that is gone: of it here, and of the peer's mapping.
  void forget_gone();
  /// Closes the connection and releases all grains, lent ones when the peer has let go of them.
  /// Idempotent.
  void close();

  /// Null after close().
  [[nodiscard]] transport::Endpoint* endpoint() const noexcept { return endpoint_.get(); }

  // Fixed since connect(); any thread.
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t slots() const noexcept { return slots_.size(); }
  /// Longest gather list of payload parts that goes out without a copy.
  [[nodiscard]] std::size_t max_payload_parts() const noexcept { return max_payload_parts_; }
  /// Whether these parts, of any number, can go out from where they are.
  [[nodiscard]] bool takes(std::span<const PayloadPart> payload) const;
  /// 4096 bytes for a grain's header and metadata; for the thread that holds the writable slot.
  [[nodiscard]] std::byte* header_block(std::uint16_t slot) const noexcept;
  /// Keeps the payload of a grain; for that thread, too.
  void hold(std::uint16_t slot, std::span<const PayloadPart> payload, Release release);
  /// `size` bytes, at most capacity(), to copy a grain into; for the one thread that pushes, while
  /// it holds the slot. Memory is taken at first use. Throws Error(no_memory).
  PayloadPart staging(std::uint16_t slot, std::size_t size);

 private:
  struct Slot {
    bool writing = false;
    bool granted = true;
    std::uint64_t sequence = 0;
    LentGrain held;
  };
  struct Shared {
    std::weak_ptr<Region> region;
    std::uint32_t id = 0;
    std::uint64_t last_use = 0;
  };

  void on_connected() override;
  void on_completed(std::uint64_t context) override;
  void on_immediate(std::uint32_t immediate) override;
  void on_message(std::span<const std::byte>) override {}
  void on_closed(const Error& reason) override;
  void on_written(std::uint16_t slot);
  void write(const QueuedGrain& grain);
  void write_waiting();
  std::optional<std::uint32_t> share(const std::shared_ptr<Region>& region);
  void fail(const Error& reason);
  bool unshare_gone();
  bool unshare_oldest();

  EventLoop& loop_;
  transport::Domain* domain_;
  Registrations* registrations_;
  const std::uint64_t epoch_;
  const RailOptions rail_options_;
  const Polling polling_;
  Events& events_;
  const bool shares_;
  const std::string near_;  // where memory of this side is best
  const std::size_t max_payload_parts_;
  const std::shared_ptr<ForeignMemory> foreign_;  // null: sources need not be registered
  std::size_t capacity_ = 0;
  std::size_t stride_ = 0;  // of the peer's slots
  transport::RemoteMemory ring_;
  std::vector<Slot> slots_;
  std::shared_ptr<Region> headers_;
  std::shared_ptr<Region> staging_;  // pushing thread, like …
  std::size_t staging_stride_ = 0;   // … this
  std::map<const Region*, Shared> shared_;
  std::uint32_t last_shared_ = 0;
  std::uint64_t shared_uses_ = 0;
  Fifo<QueuedGrain> waiting_;  // for room to share the memory of the first
  std::shared_ptr<Region> credit_word_;
  std::unique_ptr<transport::Registration> credit_registration_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  std::unique_ptr<Rail> rail_;
  EventLoop::Source watch_;
  EventLoop::Source retry_;
};

}  // namespace grainfabric
