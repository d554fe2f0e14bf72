// SPDX-License-Identifier: Apache-2.0
#include "session/outgoing_session.hpp"

#include <algorithm>
#include <utility>

#include "session/target_name.hpp"

namespace grainfabric {
namespace {

using std::chrono::steady_clock;

/// A ring for streams of unknown size does not begin smaller than this: the first buffer of an
/// encoded stream is a few bytes of headers.
constexpr std::size_t kSmallestCapacity = std::size_t{64} << 10U;

/// For a transport's own word after its time to connect is over.
constexpr std::chrono::milliseconds kConnectGrace{1000};

}  // namespace

OutgoingSession::OutgoingSession(EventLoop& loop, const InitiatorOptions& options,
                                 std::shared_ptr<Gate> gate, std::unique_ptr<Channel> channel,
                                 std::unique_ptr<transport::Domain> domain, Events& events)
    : loop_(loop),
      options_(options),
      gate_(std::move(gate)),
      events_(events),
      channel_(std::move(channel)),
      domain_(std::move(domain)),
      registrations_(*domain_),
      heartbeat_(loop.every(protocol::kHeartbeat, [this] { on_heartbeat(); })),
      last_heard_(steady_clock::now()),
      last_progress_(last_heard_) {}

OutgoingSession::~OutgoingSession() {
  for (const auto& lane : retired_) lane->close();
  if (lane_) lane_->close();
  if (next_) next_->close();
}

// ---- the gate ---------------------------------------------------------------------------------

bool OutgoingSession::open(const protocol::Welcome& welcome, bool again) {
  const std::lock_guard lock(gate_->mutex);
  Gate& gate = *gate_;
  if (gate.stopping) return false;
  if (welcome.known) gate.settle(welcome.last_sequence);
  gate.stats.lost += gate.last_sequence - gate.settled;
  gate.settled = gate.last_sequence;
  gate.stats.reconnects += again ? 1 : 0;
  gate.stats.provider = welcome.provider;
  gate.stats.provider_reason = welcome.reason;
  gate.stats.interface = domain_->capabilities().interface;
  gate.stats.peer = peer();
  gate.events_sent = gate.events_delivered = gate.events_taken = 0;
  for (const StreamEvent& event : gate.kept) {
    gate.submissions.emplace_back(protocol::Event{++gate.events_sent, gate.last_sequence, event});
  }
  std::erase_if(gate.kept, [](const StreamEvent& event) { return !event.sticky; });
  gate.open = true;
  return true;
}

void OutgoingSession::start() {
  gate_->notify();
  take_submissions();
  follow_wanted_capacity();
}

void OutgoingSession::say_bye() {
  leaving_ = true;
  take_submissions();
  if (closed_) return;
  std::uint64_t last = 0;
  {
    const std::lock_guard lock(gate_->mutex);
    last = gate_->last_sequence;
  }
  channel_->send(number(protocol::Type::bye), protocol::Bye{last, "the initiator stops"}.encode());
}

void OutgoingSession::close() {
  if (closed_) return;
  closed_ = true;
  std::vector<Gate::Submission> undone;
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->open = false;
    gate_->lane.reset();
    gate_->free_slots.clear();
    undone.swap(gate_->submissions);
    gate_->stats.provider.clear();
    gate_->stats.provider_reason.clear();
    gate_->stats.interface.clear();
    gate_->stats.peer.clear();
    gate_->stats.slots = 0;
  }
  gate_->attend_to(nullptr);
  gate_->notify();
  for (const auto& submission : undone) {
    if (const auto* grain = std::get_if<QueuedGrain>(&submission)) grain->lane->let_go(grain->slot);
  }
  heartbeat_.reset();
  next_deadline_.reset();
  channel_->close();
}

void OutgoingSession::take_submissions() {
  {
    const std::lock_guard lock(gate_->mutex);
    batch_.swap(gate_->submissions);
  }
  for (const auto& submission : batch_) {
    if (const auto* grain = std::get_if<QueuedGrain>(&submission)) {
      grain->lane->submit(*grain);
    } else if (!closed_) {
      channel_->send(number(protocol::Type::event), std::get<protocol::Event>(submission).encode());
    }
  }
  batch_.clear();
}

// ---- is the target there, and alive? ----------------------------------------------------------

void OutgoingSession::on_status(const protocol::Status& status) {
  {
    const std::lock_guard lock(gate_->mutex);
    const std::uint64_t before = gate_->settled;
    gate_->settle(status.delivered);
    gate_->events_delivered = std::min(status.events_delivered, gate_->events_sent);
    gate_->events_taken = std::min(status.events_taken, gate_->events_sent);
    gate_->stats.latency_p50 = status.latency_p50;
    gate_->stats.latency_p99 = status.latency_p99;
    if (gate_->settled != before) last_progress_ = steady_clock::now();
  }
  gate_->notify();
}

void OutgoingSession::on_heartbeat() {
  channel_->send(number(protocol::Type::heartbeat), protocol::encode_heartbeat());
  if (has_what_it_needs()) events_.on_session_serves();
  if (lane_) lane_->forget_gone();
  const auto now = steady_clock::now();
  bool outstanding = false;
  {
    const std::lock_guard lock(gate_->mutex);
    outstanding = gate_->last_sequence != gate_->settled;
  }
  if (!outstanding || std::exchange(has_moved_, false)) last_progress_ = now;
  if (now - last_heard_ > protocol::kSilence) {
    events_.on_session_lost(Error(ErrorCode::timed_out,
                                  "The target " + peer() + " has been silent for " +
                                      std::to_string(protocol::kSilence.count()) + " ms",
                                  "Is its host alive, and the network between?"));
  } else if (last_heard_ - last_progress_ > protocol::kStall) {  // it speaks, but gets nothing
    events_.on_transport_failed(
        Error(ErrorCode::timed_out,
              "Grains written to " + peer() + " do not arrive, and no error is reported",
              "Try another provider or interface."));
  }
}

// ---- lanes ------------------------------------------------------------------------------------

void OutgoingSession::follow_wanted_capacity() {
  if (closed_ || leaving_ || next_) return;
  std::size_t wanted = 0;
  {
    const std::lock_guard lock(gate_->mutex);
    wanted = gate_->wanted_capacity;
  }
  const std::size_t present = lane_ ? lane_->capacity() : 0;
  if (wanted == 0 || wanted <= present) return;
  // Streams whose sizes vary would otherwise need an epoch for each new record.
  next_capacity_ = std::min(
      kMaxCapacity, std::max(present == 0 ? wanted : wanted + wanted / 4, kSmallestCapacity));
  if (domain_->capabilities().shares) next_capacity_ = 1;  // only headers go there
  try {
    next_ = std::make_shared<OutgoingLane>(loop_, *domain_, registrations_, ++epochs_,
                                           options_.rail, options_.polling, *this);
  } catch (const Error& error) {
    events_.on_transport_failed(error);
    return;
  }
  next_deadline_ = loop_.after(protocol::kHandshakeStep, [this] {
    events_.on_session_lost(Error(ErrorCode::timed_out, "The target " + target_name(options_) +
                                                            " does not set up its ring in time"));
  });
  channel_->send(number(protocol::Type::config),
                 next_->config(next_capacity_, options_.slots).encode());
}

void OutgoingSession::on_ring(const protocol::Ring& ring) {
  if (!next_ || next_->epoch() != ring.epoch || ring.capacity < next_capacity_ ||
      next_->slots() != 0) {
    throw Error(ErrorCode::protocol, "The target offered a RING that nobody asked for");
  }
  // The transport has a limit of its own, and more to say when it ends; this is for one that is
  // silent.
  next_deadline_ = loop_.after(transport::kConnectTimeout + kConnectGrace, [this] {
    events_.on_transport_failed(Error(
        ErrorCode::timed_out, "No data connection with " + peer() + ", and no error is reported",
        "Try another provider or interface."));
  });
  try {
    next_->connect(ring);
  } catch (const Error& error) {
    events_.on_transport_failed(error);
  }
}

void OutgoingSession::on_lane_ready(OutgoingLane& lane) {
  if (closed_ || next_.get() != &lane) return;
  next_deadline_.reset();
  if (lane_) retired_.push_back(std::move(lane_));
  lane_ = std::move(next_);
  next_.reset();
  last_progress_ = steady_clock::now();
  events_.on_session_serves();
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->lane = lane_;
    gate_->free_slots.clear();
    // The lowest slot last: it is taken first, and again soon, while it is in the cache.
    for (std::size_t i = lane.slots(); i-- > 0;) {
      gate_->free_slots.push_back(static_cast<std::uint16_t>(i));
    }
    gate_->stats.slots = lane.slots();
    gate_->stats.epoch = lane.epoch();
  }
  gate_->attend_to(lane.endpoint());
  gate_->notify();
  follow_wanted_capacity();
}

void OutgoingSession::on_lane_failed(OutgoingLane& lane, const Error& reason) {
  // A target that stops says what has arrived before it closes this connection. One that was told
  // BYE answers, or goes; there is nothing to be written any more.
  channel_->read_now();
  if (closed_ || leaving_) return;
  if (&lane == next_.get() || &lane == lane_.get()) {
    // One that has worked is lost with its peer, as a rule; but memory that cannot be registered
    // with it is its own fault.
    const bool worked = lane_ != nullptr && reason.code() != ErrorCode::locked_memory_limit;
    if (worked) {
      events_.on_session_lost(reason);
    } else {
      events_.on_transport_failed(reason);
    }
    return;
  }
  // The target closes a lane that it has all grains of.
  const auto retired = std::find_if(retired_.begin(), retired_.end(),
                                    [&](const auto& other) { return other.get() == &lane; });
  if (retired == retired_.end()) return;
  loop_.post([gone = *retired] { gone->close(); });  // before anything that destroys the session
  retired_.erase(retired);
}

void OutgoingSession::on_slot_writable(OutgoingLane& lane, std::uint16_t slot) {
  {
    const std::lock_guard lock(gate_->mutex);
    if (gate_->lane.get() != &lane) return;
    gate_->free_slots.push_back(slot);
  }
  gate_->notify();
}

void OutgoingSession::on_arrived(OutgoingLane&, std::uint64_t sequence) {
  on_lane_progress();
  const std::lock_guard lock(gate_->mutex);
  gate_->settle(sequence);
}

void OutgoingSession::on_lane_progress() {
  has_moved_ = true;
}

}  // namespace grainfabric
