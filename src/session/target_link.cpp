// SPDX-License-Identifier: Apache-2.0
#include "session/target_link.hpp"

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace grainfabric {
namespace {

/// Rings that wait for their first grain. Each is a quarter larger than the one before, so that an
/// initiator runs out of capacities before it gets here.
constexpr std::size_t kMostLanes = 64;

SliceProgress progress_of(const IncomingLane::Landed& landed, std::uint32_t valid) {
  const IncomingGrain& grain = landed.grain;
  SliceProgress progress{grain.info,
                         valid,
                         landed.header.total_slices,
                         landed.header.slice_size,
                         grain.payload.size(),
                         grain.payload,
                         grain.metadata,
                         grain.lease.memory()};
  if (valid < progress.total) {
    progress.payload = grain.payload.first(std::size_t{valid} * progress.slice_size);
    if (landed.header.metadata_place == static_cast<std::uint32_t>(MetadataPlace::after_payload)) {
      progress.metadata = {};
    }
  }
  return progress;
}

}  // namespace

TargetLink::TargetLink(EventLoop& loop, GObjectPtr<GSocketConnection> connection,
                       const TargetOptions& options, Inbox& inbox, Owner& owner)
    : loop_(loop),
      options_(options),
      inbox_(inbox),
      owner_(owner),
      channel_(std::make_unique<Channel>(loop, std::move(connection), *this)),
      hello_deadline_(loop.after(protocol::kHandshakeStep,
                                 [this] {
                                   refuse(Error(ErrorCode::timed_out,
                                                peer() + " connected but did not say HELLO in time",
                                                "Is that a fabricsink?"));
                                 })),
      last_heard_(std::chrono::steady_clock::now()) {}

TargetLink::~TargetLink() = default;

void TargetLink::finish(const std::string& farewell) {
  if (finished_) return;
  finished_ = true;
  if (!lanes_.empty()) inbox_.attend_to(nullptr);
  if (welcomed() && !farewell.empty()) {
    channel_->send(number(protocol::Type::bye), protocol::Bye{expected_ - 1, farewell}.encode());
  }
  hello_deadline_.reset();
  heartbeat_.reset();
  channel_->close();
  // This may run inside a call of a lane or the channel: they go later.
  loop_.post([self = shared_from_this()] {
    self->begun_.reset();
    self->landed_.clear();
    self->lanes_.clear();
    self->domain_.reset();
  });
}

void TargetLink::end(const Error& reason, bool orderly) {
  if (finished_) return;
  if (!loop_.on_loop_thread()) {  // who hears of it tells others
    if (!std::exchange(ending_, true)) {
      loop_.post([self = shared_from_this(), reason, orderly] { self->end(reason, orderly); });
    }
    return;
  }
  finish(orderly ? "all grains arrived" : "");
  owner_.on_link_ended(*this, reason, orderly);
}

void TargetLink::refuse(const Error& reason) {
  if (finished_) return;
  channel_->send(number(protocol::Type::refuse),
                 protocol::Refuse{reason.code(), reason.what()}.encode());
  finish({});
  owner_.on_refused(*this, reason);
}

// ---- messages ---------------------------------------------------------------------------------

void TargetLink::on_channel_closed(const Error& reason) {
  if (welcomed()) {
    end(reason, false);
  } else if (!finished_) {
    finish({});
    owner_.on_refused(*this, reason);
  }
}

void TargetLink::on_message(std::uint16_t type, GVariant* fields) {
  if (finished_) return;
  last_heard_ = std::chrono::steady_clock::now();
  if (type == number(protocol::Type::hello)) {
    if (welcomed()) throw Error(ErrorCode::protocol, "The initiator said HELLO twice");
    on_hello(protocol::Hello::decode(fields));
    return;
  }
  if (!welcomed()) {
    throw Error(ErrorCode::protocol, peer() + " did not begin with HELLO", "Is that a fabricsink?");
  }
  switch (static_cast<protocol::Type>(type)) {
    case protocol::Type::config:
      on_config(protocol::Config::decode(fields));
      break;
    case protocol::Type::event:
      on_event(protocol::Event::decode(fields));
      break;
    case protocol::Type::bye:
      last_before_bye_ = protocol::Bye::decode(fields).last_sequence;
      deliver();
      break;
    default:
      break;  // HEARTBEAT has done its work; others are of a later version
  }
}

void TargetLink::on_hello(const protocol::Hello& hello) {
  protocol::Welcome welcome;
  welcome.instance = protocol::process_instance();
  try {
    if (hello.version != protocol::kVersion) {
      throw Error(ErrorCode::version,
                  peer() + " speaks version " + std::to_string(hello.version) +
                      " of the control protocol, this side " + std::to_string(protocol::kVersion),
                  "Use the same release of grainfabric on both sides.");
    }
    stream_ = hello.stream;
    domain_ = owner_.admit(*this, hello, welcome);
  } catch (const Error& error) {
    refuse(error);
    return;
  }
  hello_deadline_.reset();
  expected_ = hello.next_sequence;
  channel_->set_max_body(kMaxBody);
  channel_->send(number(protocol::Type::welcome), welcome.encode());
  heartbeat_ = loop_.every(protocol::kHeartbeat, [this] { on_heartbeat(); });
}

void TargetLink::on_config(const protocol::Config& config) {
  if (!lanes_.empty() && config.epoch <= lanes_.back()->epoch()) {
    throw Error(ErrorCode::protocol, "The initiator asked for an epoch that has been");
  }
  if (lanes_.size() >= kMostLanes) {
    throw Error(ErrorCode::protocol, "The initiator asks for rings and does not use them");
  }
  const std::size_t slots = options_.slots != 0 ? options_.slots : config.slots;
  try {
    auto lane = std::make_unique<IncomingLane>(loop_, *domain_, config, slots, options_.pages,
                                               options_.polling, *this);
    // Slots are given back by any thread, and even after this session.
    const auto give_back = std::make_shared<const std::function<void()>>(
        [link = weak_from_this(), epoch = config.epoch] {
          if (const auto self = link.lock()) self->return_credits(epoch);
        });
    lane->ring()->on_released(
        [weak_loop = loop_.weak_from_this(), give_back, here = domain_->capabilities().shares] {
          const auto loop = weak_loop.lock();
          if (!loop || (here && loop->try_turn(*give_back))) return;
          loop->post(give_back);
        });
    channel_->send(number(protocol::Type::ring), lane->offer().encode());
    lanes_.push_back(std::move(lane));
    note_credits();
  } catch (const Error& error) {
    // The initiator learns why, and decides; here it is a warning.
    protocol::Refuse refusal{error.code(), error.what(), {}};
    if (error.code() != ErrorCode::no_memory) refusal.provider = domain_->capabilities().provider;
    channel_->send(number(protocol::Type::refuse), refusal.encode());
    owner_.on_refused(*this, error);
  }
}

void TargetLink::on_event(protocol::Event event) {
  if (event.number != ++events_received_) {
    throw Error(ErrorCode::protocol, "The initiator's events do not count up");
  }
  events_.push_back(std::move(event));
  std::uint64_t taken = 0;
  {
    const std::lock_guard lock(inbox_.mutex);
    taken = inbox_.events_taken;
  }
  if (events_received_ - taken > 4 * protocol::kEventWindow) {
    throw Error(ErrorCode::protocol, "The initiator sends events without regard to its window");
  }
  deliver();
}

void TargetLink::send_upstream(const StreamEvent& event) {
  channel_->send(number(protocol::Type::upstream), protocol::Upstream{event}.encode());
}

void TargetLink::send_status() {
  protocol::Status status;
  status.delivered = expected_ - 1;
  status.events_delivered = events_delivered_;
  {
    const std::lock_guard lock(inbox_.mutex);
    status.events_taken = inbox_.events_taken;
    status.latency_p50 = inbox_.latency.quantile(0.50);
    status.latency_p99 = inbox_.latency.quantile(0.99);
  }
  channel_->send(number(protocol::Type::status), status.encode());
}

void TargetLink::on_heartbeat() {
  send_status();
  if (std::chrono::steady_clock::now() - last_heard_ > protocol::kSilence) {
    end(Error(ErrorCode::timed_out, "The initiator " + peer() + " has been silent for " +
                                        std::to_string(protocol::kSilence.count()) + " ms"),
        false);
  }
}

// ---- grains -----------------------------------------------------------------------------------

void TargetLink::on_lane_closed(IncomingLane& lane, const Error& reason) {
  // Without its newest lane the session cannot go on; older ones are being left anyway.
  if (finished_ || lanes_.empty() || lanes_.back().get() != &lane) return;
  end(reason, false);
}

void TargetLink::on_lane_connected(IncomingLane& lane) {
  // Who asks for slices is told of them by the loop thread.
  if (finished_ || options_.report_slices) return;
  // The newest that is connected: grains come in order, so that no lane goes before all older ones,
  // and none is attended that has gone.
  if (lane.epoch() < attended_epoch_) return;
  attended_epoch_ = lane.epoch();
  inbox_.attend_to(&lane.endpoint());
}

void TargetLink::on_slices(IncomingLane&, const IncomingLane::Landed& begun, std::uint32_t valid) {
  if (finished_ || !options_.report_slices) return;
  begun_ = {progress_of(begun, valid), begun.header.events_before};
  report_begun();
}

void TargetLink::report_begun() {
  if (!begun_ || begun_->progress.info.sequence > expected_ ||
      begun_->events_before > events_delivered_) {
    return;
  }
  const SliceProgress progress = std::move(begun_->progress);
  begun_.reset();
  if (progress.info.sequence == expected_) report(progress);  // else it is whole by now
}

void TargetLink::report(const SliceProgress& progress) {
  {
    const std::lock_guard lock(inbox_.mutex);
    if (inbox_.flushing) return;
  }
  owner_.on_slices(progress);
}

void TargetLink::on_landed(IncomingLane& lane, std::uint16_t slot) {
  if (finished_ || ending_) return;
  try {
    IncomingLane::Landed landed = lane.open(slot);
    const std::uint64_t sequence = landed.header.sequence;
    // Behind all of them, unless the transport does not keep order.
    auto place = landed_.end();
    while (place != landed_.begin() && (place - 1)->header.sequence > sequence) --place;
    const bool is_known = place != landed_.begin() && (place - 1)->header.sequence == sequence;
    if (sequence < expected_ || is_known) {
      throw Error(ErrorCode::protocol,
                  "The initiator sent grain " + std::to_string(sequence) + " twice");
    }
    landed_.insert(place, std::move(landed));
    deliver();
  } catch (const Error& error) {
    end(error, false);
  }
}

void TargetLink::deliver() {
  const std::uint64_t events_before = events_delivered_;
  for (;;) {
    if (!events_.empty() && events_.front().after < expected_) {
      StreamEvent event = std::move(events_.front().event);
      events_.pop_front();
      ++events_delivered_;
      {
        const std::lock_guard lock(inbox_.mutex);
        if (!inbox_.flushing || event.sticky) {
          inbox_.items.push_back({std::move(event), inbox_.session});
        } else {
          ++inbox_.events_taken;
        }
      }
      inbox_.notify();
      continue;
    }
    const auto next = landed_.begin();
    if (next == landed_.end() || next->header.sequence != expected_ ||
        next->header.events_before > events_delivered_) {
      break;
    }
    if (options_.report_slices) report(progress_of(*next, next->header.total_slices));
    const std::uint64_t epoch = next->header.epoch;
    IncomingGrain grain = std::move(next->grain);
    landed_.erase(next);
    ++expected_;
    deliver_grain(std::move(grain));
    retire_before(epoch);
  }
  report_begun();
  if (events_delivered_ != events_before) send_status();
  if (last_before_bye_ != kNone && expected_ > last_before_bye_ && events_.empty()) {
    end(Error(ErrorCode::disconnected, "The initiator stopped"), true);
  }
}

void TargetLink::deliver_grain(IncomingGrain grain) {
  const std::uint64_t now = tai_now();
  grain.discont = std::exchange(first_grain_, false);
  {
    const std::lock_guard lock(inbox_.mutex);
    inbox_.latency.record(now > grain.info.sent_tai ? now - grain.info.sent_tai : 0);
    ++inbox_.stats.grains;
    inbox_.stats.bytes += grain.payload.size();
    inbox_.stats.credits = lanes_.back()->granted();
    if (!inbox_.flushing) inbox_.items.push_back({std::move(grain), inbox_.session});
  }
  inbox_.notify();
}

/// Grains come in order, so those of earlier epochs are all here: their connections may go.
void TargetLink::retire_before(std::uint64_t epoch) {
  if (lanes_.front()->epoch() >= epoch) return;
  auto old = std::make_shared<std::vector<std::unique_ptr<IncomingLane>>>();
  while (lanes_.front()->epoch() < epoch) {
    old->push_back(std::move(lanes_.front()));
    lanes_.erase(lanes_.begin());
  }
  loop_.post([self = shared_from_this(), old] { old->clear(); });
}

void TargetLink::return_credits(std::uint64_t epoch) {
  if (finished_) return;  // and its target may be gone
  for (const auto& lane : lanes_) {
    if (lane->epoch() == epoch) lane->return_credits();
  }
  note_credits();
}

void TargetLink::note_credits() {
  if (lanes_.empty() || finished_) return;
  const std::lock_guard lock(inbox_.mutex);
  inbox_.stats.credits = lanes_.back()->granted();
  inbox_.stats.slots = lanes_.back()->ring()->slots();
  inbox_.stats.epoch = lanes_.back()->epoch();
}

}  // namespace grainfabric
