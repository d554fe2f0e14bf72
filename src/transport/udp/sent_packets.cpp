// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/sent_packets.hpp"

#include <algorithm>

namespace grainfabric::transport::udp {
namespace {

/// RFC 9002 6.1.1.
constexpr std::uint64_t kPacketThreshold = 3;
/// So many given up are remembered, for they may be late only.
constexpr std::size_t kMostLost = 256;
/// RFC 8985 6.2 step 4: the window for reordering grows by steps and ends at a round trip.
constexpr int kMostExtraEighths = 8;

}  // namespace

SentPackets::SentPackets() : ring_(kMaxPackets), packet_threshold_(kPacketThreshold) {}

void SentPackets::push(const SentPacket& packet) {
  SentPacket& entry = at(next_++);
  entry = packet;
  entry.state = SentPacket::State::in_flight;
  bytes_ += packet.size;
  last_sent_ = packet.sent;
}

void SentPackets::resolve(SentPacket* packet) noexcept {
  packet->state = SentPacket::State::resolved;
  bytes_ -= packet->size;
}

void SentPackets::skip_resolved() noexcept {
  while (first_ < next_ && at(first_).state == SentPacket::State::resolved) ++first_;
}

SentPacket SentPackets::cancel(std::uint64_t number) {
  SentPacket& packet = at(number);
  if (packet.state == SentPacket::State::in_flight) resolve(&packet);
  skip_resolved();
  return packet;
}

SentPackets::Acked SentPackets::acknowledge(const Ack& ack, Events& events) {
  Acked acked;
  const std::uint64_t largest = ack.ranges[0].last;
  for (std::size_t i = 0; i < ack.count; ++i) {
    const std::uint64_t last = std::min(ack.ranges[i].last, next_ - 1);
    if (last < first_) break;  // this and all further ones are known
    for (std::uint64_t number = std::max(ack.ranges[i].first, first_); number <= last; ++number) {
      SentPacket& packet = at(number);
      if (packet.state == SentPacket::State::resolved) continue;
      acked.bytes += packet.size;
      acked.largest_is_new = acked.largest_is_new || number == largest;
      if (!acked.newest_sent || packet.sent > *acked.newest_sent) acked.newest_sent = packet.sent;
      resolve(&packet);
      events.on_packet_acked(number, packet);
    }
  }
  largest_acked_ = std::max(largest_acked_.value_or(0), largest);
  find_late(ack, events);
  skip_resolved();
  return acked;
}

void SentPackets::find_late(const Ack& ack, Events& events) {
  const auto arrived = [&ack](std::uint64_t number) {
    return std::any_of(
        ack.ranges.begin(), ack.ranges.begin() + static_cast<std::ptrdiff_t>(ack.count),
        [number](const AckRange& range) { return range.first <= number && number <= range.last; });
  };
  for (auto lost = lost_.begin(); lost != lost_.end();) {
    if (!arrived(lost->number)) {
      ++lost;
      continue;
    }
    const std::uint64_t distance = *largest_acked_ - lost->number;
    packet_threshold_ = std::clamp(distance + 1, packet_threshold_, std::uint64_t{kMaxPackets / 4});
    extra_eighths_ = std::min(extra_eighths_ + 1, kMostExtraEighths);
    events.on_packet_late(lost->sent);
    lost = lost_.erase(lost);
  }
}

void SentPackets::give_up(std::uint64_t number, Events& events) {
  SentPacket& packet = at(number);
  resolve(&packet);
  if (lost_.size() == kMostLost) lost_.pop_front();
  if (!packet.is_probe) lost_.push_back({number, packet.sent});
  events.on_packet_lost(number, packet);
}

void SentPackets::give_up_oldest(Events& events) {
  give_up(first_, events);
  skip_resolved();
}

void SentPackets::detect_losses(const Rtt& rtt, TimePoint now, Events& events) {
  loss_time_.reset();
  if (!largest_acked_) return;
  const Rtt::Duration extra = rtt.smoothed() * extra_eighths_ / 8;
  for (std::uint64_t number = first_; number < *largest_acked_; ++number) {
    const SentPacket& packet = at(number);
    if (packet.state == SentPacket::State::resolved) continue;
    const TimePoint lost_at = packet.sent + rtt.loss_delay() + extra;
    if (number + packet_threshold_ <= *largest_acked_ || lost_at <= now) {
      give_up(number, events);
    } else if (!loss_time_ || lost_at < *loss_time_) {
      loss_time_ = lost_at;
    }
  }
  skip_resolved();
}

}  // namespace grainfabric::transport::udp
