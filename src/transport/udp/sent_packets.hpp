// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "transport/udp/packet.hpp"
#include "transport/udp/rtt.hpp"

namespace grainfabric::transport::udp {

/// A packet that asks for an ACK, from its sending until its fate is known. What it carried is a
/// range of the stream (PING: none), which goes again under another number if it is lost.
struct SentPacket {
  enum class State : std::uint8_t { resolved, in_flight };
  TimePoint sent{};
  std::uint64_t begin = 0;
  std::uint32_t length = 0;
  std::uint32_t size = 0;  ///< Of the datagram; 0 for a probe of the path's size.
  State state = State::resolved;
  bool is_probe = false;  ///< Takes no part in congestion control, since one is under way at most.
};

/// The packets in flight by number, and when they count as lost (RFC 9002 section 6.1). Where
/// packets arrive that had been given up, both thresholds grow to what was seen, as far as RFC 8985
/// (RACK) lets them: a round trip more.
class SentPackets {
 public:
  class Events {
   public:
    virtual void on_packet_acked(std::uint64_t number, const SentPacket& packet) = 0;
    virtual void on_packet_lost(std::uint64_t number, const SentPacket& packet) = 0;
    /// One that was lost has arrived after all: the path reorders.
    virtual void on_packet_late(TimePoint sent) = 0;

   protected:
    ~Events() = default;
  };

  SentPackets();

  /// For data; a probe may take one of kSpare more.
  [[nodiscard]] bool has_room() const noexcept { return next_ - first_ < kMaxPackets - kSpare; }
  [[nodiscard]] bool has_spare() const noexcept { return next_ - first_ < kMaxPackets; }
  [[nodiscard]] std::uint64_t next_number() const noexcept { return next_; }
  [[nodiscard]] std::size_t bytes_in_flight() const noexcept { return bytes_; }
  [[nodiscard]] bool empty() const noexcept { return first_ == next_; }
  /// The oldest in flight; not when empty().
  [[nodiscard]] const SentPacket& oldest() const noexcept { return at(first_); }
  [[nodiscard]] TimePoint last_sent() const noexcept { return last_sent_; }

  /// Takes next_number().
  void push(const SentPacket& packet);
  /// The kernel did not take this packet after all.
  SentPacket cancel(std::uint64_t number);

  struct Acked {
    std::size_t bytes = 0;
    std::optional<TimePoint> newest_sent;  ///< Of the packets that this ACK speaks of first.
    bool largest_is_new = false;
  };
  /// Resolves what `ack` speaks of. Ranges of numbers never sent are ignored: see is_plausible().
  Acked acknowledge(const Ack& ack, Events& events);
  [[nodiscard]] bool is_plausible(const Ack& ack) const noexcept {
    return ack.ranges[0].last < next_;
  }
  /// Gives up what is older than the largest acknowledged by 3 numbers or 9/8 of a round trip;
  /// afterwards loss_time() says when the next one will be.
  void detect_losses(const Rtt& rtt, TimePoint now, Events& events);
  /// So that there is a number for another; not when empty().
  void give_up_oldest(Events& events);
  [[nodiscard]] std::optional<TimePoint> loss_time() const noexcept { return loss_time_; }

 private:
  /// Most of the probe timeouts that fit into kSilence; then the oldest are given up for more.
  static constexpr std::uint64_t kSpare = 64;

  [[nodiscard]] const SentPacket& at(std::uint64_t number) const noexcept {
    return ring_[number % kMaxPackets];
  }
  SentPacket& at(std::uint64_t number) noexcept { return ring_[number % kMaxPackets]; }
  void resolve(SentPacket* packet) noexcept;
  void give_up(std::uint64_t number, Events& events);
  void find_late(const Ack& ack, Events& events);
  void skip_resolved() noexcept;

  std::vector<SentPacket> ring_;
  std::uint64_t first_ = 0;  // all before are resolved
  std::uint64_t next_ = 0;
  std::optional<std::uint64_t> largest_acked_;
  std::size_t bytes_ = 0;
  TimePoint last_sent_{};
  std::optional<TimePoint> loss_time_;

  struct Lost {
    std::uint64_t number;
    TimePoint sent;
  };
  std::deque<Lost> lost_;  // the last ones, which may still arrive
  std::uint64_t packet_threshold_;
  int extra_eighths_ = 0;  // of a round trip, on top of the 9
};

}  // namespace grainfabric::transport::udp
