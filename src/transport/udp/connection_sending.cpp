// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <utility>

#include "transport/udp/connection.hpp"

/// What a connection sends, and when it may.
namespace grainfabric::transport::udp {
namespace {

/// A quarter of the window between two ACKs that the sender asks for keeps the pipe full.
constexpr std::size_t kAcksPerWindow = 4;
/// A window below this is one that losses keep small. There each second packet asks (RFC
/// 9000 13.2.2), so that the loss of one that asks is seen by the next and not by a timeout.
constexpr std::size_t kSmallWindow = std::size_t{64} << 10U;
/// Payloads of whole cache lines make the kernel's copies on both sides start at one.
constexpr std::size_t kCacheLine = 64;
static_assert(kDataHeaderSize % kCacheLine == 0);

/// Most of a datagram of this size; rounded down where that costs little.
std::size_t payload_of(std::size_t datagram) {
  const std::size_t most = datagram - kDataHeaderSize;
  const std::size_t rounded = most / kCacheLine * kCacheLine;
  return (most - rounded) * 100 <= most ? rounded : most;
}

}  // namespace

std::size_t Connection::window() const noexcept {
  const std::size_t most = rtt_.minimum() < kLongPath ? kCacheWindow : kMaxWindow;
  return std::min({congestion_.window(), options_.peer_window, most});
}

bool Connection::may_send() const noexcept {
  return extra_packets_ > 0 ? sent_.has_spare()
                            : sent_.has_room() && sent_.bytes_in_flight() < window();
}

bool Connection::wants_to_send(TimePoint now) noexcept {
  if (ack_now_) return true;
  if ((ping_wanted_ || extra_packets_ > 0 || path_.wants_probe(now)) && sent_.has_spare()) {
    return true;
  }
  return outbox_.has_more() && may_send() &&
         congestion_.allowance(rtt_, now) >= congestion_.quantum(rtt_);
}

bool Connection::fill(SendBatch* batch, TimePoint now) {
  if (ack_now_) add_ack(batch, now);
  if (path_.wants_probe(now) && sent_.has_spare()) {
    add_ping(batch, path_.next_probe(), true, now);
  }
  std::size_t allowance = congestion_.allowance(rtt_, now);
  while (batch->has_room() && outbox_.has_more() && may_send()) {
    if (allowance == 0 && extra_packets_ == 0) return !batch->empty();
    if (!add_chunk(batch, now)) break;
    allowance -= std::min(allowance, path_.datagram());
  }
  if ((ping_wanted_ || extra_packets_ > 0) && sent_.has_spare() && batch->has_room()) {
    add_ping(batch, kHeaderSize, false, now);
  }
  if (outbox_.withdrawn()) {
    events_.on_failed(Error(ErrorCode::protocol,
                            options_.peer + " reads memory that is not registered any more",
                            "Keep it registered until the peer has read it."));
  }
  window_limited_ = outbox_.has_more() && !may_send();
  return !batch->empty();
}

bool Connection::add_chunk(SendBatch* batch, TimePoint now) {
  Chunk chunk;
  if (!outbox_.cut(payload_of(path_.datagram()), &chunk)) return false;
  const std::size_t size = kDataHeaderSize + chunk.size;
  chunk.header.connection = options_.peer_id;
  chunk.header.number = sent_.next_number();
  SentPacket packet{now, chunk.header.position,
                    static_cast<std::uint32_t>(chunk.end() - chunk.header.position),
                    static_cast<std::uint32_t>(size)};
  sent_.push(packet);
  congestion_.on_sent(size);
  unflagged_ += size;
  if (extra_packets_ > 0) --extra_packets_;
  ping_wanted_ = false;
  const bool pause = !may_send() || (!outbox_.has_more() && outbox_.awaits());
  const bool enough =
      unflagged_ * kAcksPerWindow >= window() || (window() < kSmallWindow && unflagged_ > size);
  if (pause || enough) {
    chunk.header.flags |= kAckNow;
    unflagged_ = 0;
  }
  const auto to = batch->add(kDataHeaderSize, {chunk.parts.data(), chunk.part_count}, chunk.size,
                             chunk.header.number);
  write(chunk.header, to.first<kDataHeaderSize>());
  return true;
}

void Connection::add_ping(SendBatch* batch, std::size_t size, bool is_probe, TimePoint now) {
  static const std::array<std::byte, kMaxDatagram> zeros{};
  const std::uint64_t number = sent_.next_number();
  SentPacket packet{now, 0, 0, is_probe ? 0 : static_cast<std::uint32_t>(size)};
  packet.is_probe = is_probe;
  sent_.push(packet);
  congestion_.on_sent(packet.size);
  const iovec padding{const_cast<std::byte*>(zeros.data()), size - kHeaderSize};
  const auto to =
      batch->add(kHeaderSize, {&padding, size > kHeaderSize ? 1U : 0U}, size - kHeaderSize, number);
  write(Ping{options_.peer_id, number}, to);
  ping_wanted_ = false;
  extra_packets_ = 0;
}

void Connection::add_ack(SendBatch* batch, TimePoint now) {
  ack_now_ = false;
  ack_at_.reset();
  Ack ack;
  ack.connection = options_.peer_id;
  ack.number = ++acks_sent_;
  ack.landed = inbox_.landed();
  for (std::size_t i = numbers_.size(); i-- > 0 && ack.count < kMaxAckRanges;) {
    const Ranges::Range& range = numbers_[i];
    if (range.begin == range.end) break;
    // Of a long range only the end matters: all before was told long ago.
    // And what a forgotten hole lacked must go again. It is below the end of the lowest range.
    const std::uint64_t first =
        std::max(range.end - std::min<std::uint64_t>(range.end - range.begin, 2 * kMaxPackets),
                 numbers_.forgotten());
    ack.ranges[ack.count++] = {first, range.end - 1};
    if (first != range.begin) break;
  }
  if (ack.count == 0) return;
  const auto delay = std::chrono::duration_cast<std::chrono::microseconds>(now - largest_at_);
  ack.delay_us = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay.count(), 0, UINT32_MAX));
  std::array<std::byte, kMaxAckSize> bytes;
  const std::size_t size = write(ack, bytes);
  std::copy_n(bytes.begin(), size, batch->add(size, {}, 0, SendBatch::kNoNumber).begin());
}

void Connection::not_sent(std::span<const std::uint64_t> numbers, int error, TimePoint now) {
  bool is_first = true;
  for (const std::uint64_t number : numbers) {
    if (number == SendBatch::kNoNumber) {
      ack_now_ = true;
      continue;
    }
    // The error is of the first; the others did not get their turn.
    const bool has_failed = std::exchange(is_first, false);
    const SentPacket packet = sent_.cancel(number);
    if (packet.is_probe) {
      path_.on_probe_lost(now);
    } else {
      if (has_failed && error == EMSGSIZE) on_black_hole(now);
      outbox_.requeue(packet.begin, packet.begin + packet.length);
    }
  }
}

void Connection::on_refused(TimePoint now) {
  if (!refused_at_) refused_at_ = now;
  ping_wanted_ = true;
}

}  // namespace grainfabric::transport::udp
