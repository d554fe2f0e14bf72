// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/sent_packets.hpp"

#include <algorithm>

namespace grainfabric::transport::udp {
namespace {

/// RFC 9002 6.1.1.
constexpr std::uint64_t kPacketThreshold = 3;

}  // namespace

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
  skip_resolved();
  return acked;
}

void SentPackets::detect_losses(const Rtt& rtt, TimePoint now, Events& events) {
  loss_time_.reset();
  if (!largest_acked_) return;
  for (std::uint64_t number = first_; number < *largest_acked_; ++number) {
    SentPacket& packet = at(number);
    if (packet.state == SentPacket::State::resolved) continue;
    const TimePoint lost_at = packet.sent + rtt.loss_delay();
    if (number + kPacketThreshold <= *largest_acked_ || lost_at <= now) {
      resolve(&packet);
      events.on_packet_lost(number, packet);
    } else if (!loss_time_ || lost_at < *loss_time_) {
      loss_time_ = lost_at;
    }
  }
  skip_resolved();
}

}  // namespace grainfabric::transport::udp
