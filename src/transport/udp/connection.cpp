// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/connection.hpp"

#include <algorithm>
#include <utility>

namespace grainfabric::transport::udp {
namespace {

/// Packet numbers further ahead than this are no peer's: it has kMaxPackets in flight at most.
constexpr std::uint64_t kNumberWindow = 1U << 20U;
/// Back-off of probe timeouts: 2^6 of the shortest is already more than the silence allowed.
constexpr int kMostBackOff = 6;
/// Probe timeouts in a row, and the time since the first of them, after which the window starts
/// from the least (RFC 9002 7.6 has 3 times the timeout), and after which datagrams of this size
/// are taken to be lost for their size. On a short path the time decides: a peer may not run for
/// some milliseconds on a busy host.
constexpr int kTimeoutsToCollapse = 2;
constexpr auto kTimeToCollapse = 10ms;
constexpr int kTimeoutsToBlackHole = 3;
constexpr auto kTimeToBlackHole = 30ms;

}  // namespace

Connection::Connection(std::shared_ptr<const Registry> registry, ConnectionOptions options,
                       Events& events, TimePoint now)
    : registry_(registry),
      options_(std::move(options)),
      events_(events),
      outbox_(registry),
      inbox_(std::move(registry), *this),
      path_(options_.largest_datagram),
      heard_(now) {
  if (options_.round_trip) rtt_.sample(*options_.round_trip, {});
}

bool Connection::read(std::byte* to, std::size_t size, std::uint64_t address, std::uint64_t key,
                      std::uint64_t context) {
  // A read that is done takes its request with it, see on_read_done(). In between, when the user
  // is told of what has landed before it, there is room for the read but not for its request.
  if (!outbox_.takes_read_request()) return false;
  const auto number = inbox_.expect_read(to, size, context);
  return number && outbox_.post_read_request({address, key, size, *number});
}

Inbox::Taken Connection::on_read_done(std::uint64_t number, std::uint64_t context) {
  const auto done = [this](std::uint64_t landed) { events_.on_completed(landed); };
  if (!outbox_.land_reads(Kind::read_request, number, done)) return Inbox::Taken::bad_packet;
  events_.on_completed(context);
  return Inbox::Taken::fresh;
}

Inbox::Taken Connection::on_read_request(const ReadRequest& request) {
  if (registry_->find(request.key, request.address, request.length) == nullptr) {
    return Inbox::Taken::bad_memory;
  }
  // A peer counts its reads and has kReadDepth under way: the one that many before is done there,
  // whose ACK may still be on its way.
  const auto done = [this](std::uint64_t landed) { events_.on_completed(landed); };
  if (request.number >= kReadDepth &&
      !outbox_.land_reads(Kind::read_data, request.number - kReadDepth, done)) {
    return Inbox::Taken::bad_packet;
  }
  return outbox_.post_read_data(request) ? Inbox::Taken::fresh : Inbox::Taken::bad_packet;
}

// Receiving.

void Connection::receive(const Packet& packet, Drops* drops, TimePoint now) {
  if (const auto* data = std::get_if<Data>(&packet)) {
    receive(*data, drops, now);
  } else if (const auto* ack = std::get_if<Ack>(&packet)) {
    receive(*ack, drops, now);
  } else if (const auto* ping = std::get_if<Ping>(&packet)) {
    if (ping->connection != options_.own_id) {
      ++drops->foreign;
    } else if (take_numbers(ping->number, 1, true, drops, now)) {
      numbers_.insert(ping->number, ping->number + 1);
    }
  } else if (const auto* close = std::get_if<Close>(&packet)) {
    if (close->connection != options_.own_id) {
      ++drops->foreign;
    } else if (close->reason == Reason::violation) {
      events_.on_failed(Error(ErrorCode::protocol,
                              options_.peer + " refused a transfer and closed the connection",
                              "The key or the range of a write or read was not valid there."));
    } else {
      events_.on_failed(Error(ErrorCode::disconnected, options_.peer + " closed the connection"));
    }
  } else {
    // Of the handshake, and late.
    ++(std::holds_alternative<std::monostate>(packet) ? drops->malformed : drops->replayed);
  }
}

bool Connection::take_numbers(std::uint64_t number, std::uint32_t count, bool wants_ack,
                              Drops* drops, TimePoint now) {
  if (number > numbers_.highest() + kNumberWindow) {
    ++drops->out_of_window;
    return false;
  }
  heard_ = now;
  refused_at_.reset();
  if (numbers_.contains(number, number + count)) {
    ++drops->replayed;
    ack_now_ = true;  // perhaps the peer lacks the ACK
    return false;
  }
  if (number >= numbers_.highest()) largest_at_ = now;
  if (numbers_.size() == kMaxRanges) numbers_.forget_lowest_hole();
  if (wants_ack || number != numbers_.highest()) {
    ack_now_ = true;
  } else if (!ack_at_) {
    ack_at_ = now + kMaxAckDelay;
  }
  return true;
}

void Connection::receive(const Data& data, Drops* drops, TimePoint now) {
  if (data.connection != options_.own_id) {
    ++drops->foreign;
    return;
  }
  const bool wants_ack = (data.flags & kAckNow) != 0;
  if (!take_numbers(data.number, data.datagrams, wants_ack, drops, now)) return;
  const std::uint64_t landed = inbox_.landed();
  Inbox::Taken taken = inbox_.take(data);
  if (taken == Inbox::Taken::refused) {
    ++drops->out_of_window;
    return;  // not acknowledged: it comes again
  }
  numbers_.insert(data.number, data.number + data.datagrams);
  if (taken == Inbox::Taken::fresh && inbox_.landed() != landed) taken = inbox_.deliver();
  if (taken == Inbox::Taken::bad_memory) {
    ++drops->bad_memory;
    events_.on_failed(Error(ErrorCode::protocol,
                            options_.peer + " wrote or read where it may not (key " +
                                std::to_string(data.key) + ", offset " +
                                std::to_string(data.address) + ")",
                            "The memory may have been withdrawn, or the peer is broken."));
  } else if (taken == Inbox::Taken::bad_packet) {
    ++drops->malformed;
    events_.on_failed(Error(ErrorCode::protocol,
                            options_.peer + " sent what the udp protocol does not have",
                            "Use the same version on both sides."));
  }
}

void Connection::receive(const Ack& ack, Drops* drops, TimePoint now) {
  if (ack.connection != options_.own_id) {
    ++drops->foreign;
    return;
  }
  if (!sent_.is_plausible(ack) || ack.landed > outbox_.sent()) {
    ++drops->out_of_window;
    return;
  }
  heard_ = now;
  refused_at_.reset();
  if (ack.number <= last_ack_) {
    ++drops->replayed;  // or overtaken: a later one has said more
    return;
  }
  last_ack_ = ack.number;
  now_ = now;
  const auto acked = sent_.acknowledge(ack, *this);
  if (acked.newest_sent) {
    if (acked.largest_is_new) {
      rtt_.sample(now - *acked.newest_sent, std::chrono::microseconds(ack.delay_us));
    }
    timeouts_ = 0;
    collapsed_ = black_hole_ = false;
    congestion_.on_acked(acked.bytes, *acked.newest_sent, window_limited_, rtt_, now);
  }
  sent_.detect_losses(rtt_, now, *this);
  outbox_.land(ack.landed, [this](std::uint64_t context) { events_.on_completed(context); });
}

void Connection::on_packet_acked(std::uint64_t, const SentPacket& packet) {
  if (!packet.is_probe) return;
  path_.on_probe_passed(now_);
  congestion_.set_datagram(path_.datagram());
}

void Connection::on_packet_lost(std::uint64_t, const SentPacket& packet) {
  if (packet.is_probe) {
    path_.on_probe_lost(now_);
    return;
  }
  ++packets_lost_;
  congestion_.on_lost(packet.sent, now_);
  outbox_.requeue(packet.begin, packet.begin + packet.length);
}

// Time.

TimePoint Connection::deadline() const noexcept {
  TimePoint next = heard_ + kSilence;
  const auto earlier = [&next](TimePoint when) { next = std::min(next, when); };
  if (refused_at_) earlier(*refused_at_ + kRefusedSilence);
  if (ack_at_) earlier(*ack_at_);
  if (sent_.loss_time()) earlier(*sent_.loss_time());
  if (sent_.empty()) {
    earlier(heard_ + kKeepAlive);
  } else {
    const auto back_off = 1U << static_cast<unsigned>(std::min(timeouts_, kMostBackOff));
    earlier(sent_.last_sent() +
            std::min<Rtt::Duration>(rtt_.probe_timeout() * back_off, kKeepAlive));
  }
  if (outbox_.has_more() && may_send()) earlier(congestion_.ready(rtt_));
  return next;
}

void Connection::on_time(TimePoint now) {
  now_ = now;
  const bool refused = refused_at_ && now >= *refused_at_ + kRefusedSilence;
  if (refused || now >= heard_ + kSilence) {
    events_.on_failed(
        refused ? Error(ErrorCode::disconnected, options_.peer + " is gone without a word")
                : Error(ErrorCode::timed_out,
                        "Nothing came from " + options_.peer + " for " +
                            std::to_string(std::chrono::milliseconds(kSilence).count()) + " ms",
                        "Check the network, and whether the peer still runs."));
    return;
  }
  if (ack_at_ && now >= *ack_at_) ack_now_ = true;
  if (sent_.loss_time() && now >= *sent_.loss_time()) sent_.detect_losses(rtt_, now, *this);
  if (sent_.empty()) {
    if (now >= heard_ + kKeepAlive) ping_wanted_ = true;
    return;
  }
  const auto back_off = 1U << static_cast<unsigned>(std::min(timeouts_, kMostBackOff));
  if (now >=
      sent_.last_sent() + std::min<Rtt::Duration>(rtt_.probe_timeout() * back_off, kKeepAlive)) {
    on_probe_timeout(now);
  }
}

/// RFC 9002 6.2.4: what is oldest goes once more; if nothing of the stream is in flight, a PING.
void Connection::on_probe_timeout(TimePoint now) {
  if (timeouts_++ == 0) first_timeout_ = now;
  extra_packets_ = 1;
  const auto silence = now - first_timeout_;
  if (!collapsed_ && timeouts_ >= kTimeoutsToCollapse && silence >= kTimeToCollapse) {
    collapsed_ = true;
    congestion_.collapse();
  }
  if (!black_hole_ && timeouts_ >= kTimeoutsToBlackHole && silence >= kTimeToBlackHole) {
    black_hole_ = true;
    on_black_hole(now);
  }
  if (!sent_.has_spare()) {
    sent_.give_up_oldest(*this);  // else nothing could go, and this would be due for ever
    return;
  }
  const SentPacket& oldest = sent_.oldest();
  outbox_.requeue(oldest.begin, oldest.begin + oldest.length);
}

void Connection::on_black_hole(TimePoint now) {
  path_.on_black_hole(now);
  congestion_.set_datagram(path_.datagram());
}

}  // namespace grainfabric::transport::udp
