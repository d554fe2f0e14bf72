// SPDX-License-Identifier: Apache-2.0
#include "session/initiator.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.hpp"
#include "memory/numa.hpp"
#include "session/gate.hpp"
#include "session/initiator_link.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/table.hpp"

namespace grainfabric {
namespace {

/// How long the loop leaves it to the next push() to see which credits come. After a longer pause
/// between two it is told at once: upstream may wait for the memory that comes back with them.
constexpr std::chrono::milliseconds kAttendance{2};
/// A push() looks at itself so often while it waits for credit; what ends the waiting ends it at
/// once.
constexpr std::chrono::milliseconds kPatience{1000};

void check_options(const InitiatorOptions& options) {
  if (options.host.empty() || options.port == 0) {
    throw Error(ErrorCode::invalid_argument, "No target to connect to",
                "Set host and port, or uri=fabric://HOST:PORT.");
  }
  if (options.slots < kMinSlots || options.slots > kMaxSlots) {
    throw Error(ErrorCode::invalid_argument,
                "A ring of " + std::to_string(options.slots) + " slots is not possible",
                "Use " + std::to_string(kMinSlots) + " to " + std::to_string(kMaxSlots) + ".");
  }
}

/// Writes the header of `grain`, right-aligned into `block`; returns the used part of it.
std::span<const std::byte> write_header(std::byte* block, const OutgoingGrain& grain,
                                        std::uint64_t epoch, std::uint64_t sequence,
                                        std::uint64_t events_before, std::size_t payload_size,
                                        SliceCut slices) {
  const bool fits = grain.metadata.size() <= kMaxHeaderMetadata;
  GrainHeader header{};
  header.magic = kGrainMagic;
  header.version = kGrainVersion;
  header.header_size = sizeof(GrainHeader);
  header.epoch = epoch;
  header.sequence = sequence;
  header.events_before = events_before;
  header.payload_size = payload_size;
  header.metadata_size = static_cast<std::uint32_t>(grain.metadata.size());
  header.metadata_place = static_cast<std::uint32_t>(fits ? MetadataPlace::before_header
                                                          : MetadataPlace::after_payload);
  header.pts = grain.info.pts;
  header.dts = grain.info.dts;
  header.duration = grain.info.duration;
  header.offset = grain.info.offset;
  header.offset_end = grain.info.offset_end;
  header.tai = grain.info.tai;
  header.sent_tai = tai_now();
  header.flags = grain.info.flags;
  header.total_slices = slices.count;
  header.slice_size = slices.size;
  std::byte* end = block + kGrainHeaderSpace;
  std::byte* begin = end - sizeof header;
  std::memcpy(begin, &header, sizeof header);
  if (fits && !grain.metadata.empty()) {
    begin -= pad8(grain.metadata.size());
    std::memcpy(begin, grain.metadata.data(), grain.metadata.size());
  }
  return {begin, end};
}

/// Copies payload, and metadata that does not fit the header, to `where`.
void copy_grain(const OutgoingGrain& grain, std::span<const std::byte> where) {
  // The part describes memory that only its pushing thread writes; elsewhere it is read.
  auto* cursor = const_cast<std::byte*>(where.data());
  for (const PayloadPart& part : grain.payload) {
    if (part.bytes.empty()) continue;  // may have no address at all
    std::memcpy(cursor, part.bytes.data(), part.bytes.size());
    cursor += part.bytes.size();
  }
  if (grain.metadata.size() > kMaxHeaderMetadata) {
    std::memcpy(cursor, grain.metadata.data(), grain.metadata.size());
  }
}

}  // namespace

struct Initiator::Impl {
  std::shared_ptr<EventLoop> loop;
  std::shared_ptr<Gate> gate;
  std::shared_ptr<InitiatorLink> link;
  EventLoop::Task take_submissions;
  Gate::Clock::time_point last_sent{};  // streaming thread

  /// Sends what is in the gate's `submissions`: `here`, where the streaming thread serves the data
  /// connection and the loop is not at work, else on the loop thread. `first`: there was nothing in
  /// it.
  void send(bool here, bool first) {
    const auto now = Gate::Clock::now();
    const bool quick = now - last_sent < kAttendance;
    last_sent = now;
    if (here && gate->attend_after(quick ? kAttendance : std::chrono::milliseconds(0),
                                   [this] { link->take_submissions(); })) {
      return;
    }
    if (first) loop->post(take_submissions);
  }
  PushResult drop() {
    ++gate->stats.dropped;
    return PushResult::dropped;
  }
  void fail(const Error& error) {
    loop->post([link = link, error] { link->fail(error); });
  }
};

Initiator::Initiator(InitiatorOptions options, InitiatorEvents& events,
                     std::shared_ptr<EventLoop> loop)
    : impl_(std::make_unique<Impl>()) {
  check_options(options);
  transport::require_offers(options.provider);
  transport::Table::shared().check(options.transport_options);
  if (!options.interface.empty()) transport::local_address_of(options.interface);
  look_for_numa_nodes();
  impl_->loop = std::move(loop);
  impl_->gate = std::make_shared<Gate>(impl_->loop, options.polling);
  impl_->link =
      std::make_shared<InitiatorLink>(*impl_->loop, std::move(options), impl_->gate, events);
  impl_->take_submissions = std::make_shared<const std::function<void()>>(
      [link = impl_->link] { link->take_submissions(); });
}

Initiator::~Initiator() {
  set_flushing(true);
  impl_->loop->call([this] { impl_->link->finish(); });
  impl_->loop->call([] {});  // what finish() posted has run, too
}

void Initiator::start() {
  impl_->loop->post([link = impl_->link] { link->start(); });
}

void Initiator::stop() {
  impl_->loop->post([link = impl_->link] { link->say_bye(); });
  std::unique_lock lock(impl_->gate->mutex);
  impl_->gate->stopping = true;
  impl_->gate->changed.wait_for(lock, protocol::kFarewell, [this] {
    return !impl_->gate->open || impl_->gate->flushing || impl_->gate->failed;
  });
}

void Initiator::reserve(std::size_t payload_size) {
  {
    const std::lock_guard lock(impl_->gate->mutex);
    if (payload_size > kMaxCapacity || payload_size <= impl_->gate->wanted_capacity) return;
    impl_->gate->wanted_capacity = payload_size;
  }
  impl_->loop->post([link = impl_->link] { link->follow_wanted_capacity(); });
}

Initiator::PushResult Initiator::push(const OutgoingGrain& grain, PushPolicy policy) {
  std::size_t payload_size = 0;
  std::size_t parts = 0;
  bool foreign = false;
  for (const PayloadPart& part : grain.payload) {
    payload_size += part.bytes.size();
    parts += part.bytes.empty() ? 0 : 1;
    foreign = foreign || (!part.bytes.empty() && (!part.region || part.region->is_view()));
  }
  const bool long_metadata = grain.metadata.size() > kMaxHeaderMetadata;
  const std::size_t needed =
      std::max<std::size_t>(payload_size + (long_metadata ? grain.metadata.size() : 0), 1);
  if (needed > kMaxCapacity || grain.metadata.size() > kMaxMetadata) {
    impl_->fail(Error(ErrorCode::invalid_argument,
                      "A grain of " + std::to_string(payload_size) + " bytes with " +
                          std::to_string(grain.metadata.size()) + " bytes of metadata is too large",
                      "At most " + std::to_string(kMaxCapacity) + " and " +
                          std::to_string(kMaxMetadata) + " bytes are possible."));
    return PushResult::failed;
  }

  Gate& gate = *impl_->gate;
  std::unique_lock lock(gate.mutex);
  for (;;) {
    if (gate.flushing) return PushResult::flushing;
    if (gate.failed) return PushResult::failed;
    if (!gate.open) {
      if (!policy.wait_for_peer || !policy.wait_for_credit) return impl_->drop();
      gate.changed.wait(lock);
      continue;
    }
    if (!gate.lane || gate.lane->capacity() < needed) {
      if (gate.wanted_capacity < needed) {
        gate.wanted_capacity = needed;
        impl_->loop->post([link = impl_->link] { link->follow_wanted_capacity(); });
      }
      if (!policy.wait_for_credit) return impl_->drop();
      gate.changed.wait(lock);
      continue;
    }
    if (gate.free_slots.empty()) {
      const auto lane = gate.lane;
      const auto changed = [&] {
        return gate.flushing || gate.failed || gate.lane != lane || !gate.free_slots.empty();
      };
      if (policy.wait_for_credit) {
        gate.wait_until(lock, Gate::Clock::now() + kPatience, kAttendance, changed);
      } else {
        gate.look(lock, kAttendance);
        if (!changed()) return impl_->drop();
      }
      continue;
    }

    const std::shared_ptr<OutgoingLane> lane = gate.lane;
    QueuedGrain queued;
    queued.lane = lane;
    queued.slot = gate.free_slots.back();
    gate.free_slots.pop_back();
    const bool copy =
        long_metadata || parts > lane->max_payload_parts() || !lane->takes(grain.payload);
    if (copy) {
      lock.unlock();
      try {
        PayloadPart staged = lane->staging(queued.slot, needed);
        copy_grain(grain, staged.bytes);
        staged.bytes =
            staged.bytes.first(payload_size + (long_metadata ? grain.metadata.size() : 0));
        lane->hold(queued.slot, {&staged, 1}, {});
      } catch (const Error& error) {
        impl_->fail(error);
        return PushResult::failed;
      }
      lock.lock();
      if (gate.lane != lane) continue;  // the session ended meanwhile, and the slot with it
    } else {
      lane->hold(queued.slot, grain.payload, grain.release);
    }
    queued.slices = cut_slices(payload_size, grain.slices, grain.slice_unit);
    queued.sequence = ++gate.last_sequence;
    queued.header = write_header(lane->header_block(queued.slot), grain, lane->epoch(),
                                 queued.sequence, gate.events_sent, payload_size, queued.slices);
    ++gate.stats.grains;
    gate.stats.bytes += payload_size;
    if (foreign) ++gate.stats.grains_foreign;
    if (copy) {
      ++gate.stats.grains_copied;
      gate.stats.bytes_copied += payload_size;
    }
    const bool first = gate.submissions.empty();
    const bool here = gate.attends();
    gate.submissions.emplace_back(std::move(queued));
    lock.unlock();
    impl_->send(here, first);
    if (copy) grain.release();
    return PushResult::accepted;
  }
}

Initiator::PushResult Initiator::push_event(const StreamEvent& event, PushPolicy policy) {
  Gate& gate = *impl_->gate;
  std::unique_lock lock(gate.mutex);
  if (event.body.size() > kMaxEventBody) return PushResult::dropped;
  if (gate.flushing) return PushResult::flushing;
  if (gate.failed) return PushResult::failed;
  while (gate.open && gate.events_sent - gate.events_taken >= protocol::kEventWindow) {
    if (!event.sticky && !policy.wait_for_credit) return PushResult::dropped;
    gate.changed.wait(lock);
    if (gate.flushing) return PushResult::flushing;
    if (gate.failed) return PushResult::failed;
  }
  // Only now: the session may have changed meanwhile, and the next one begins with what is kept.
  const auto same = std::find_if(gate.kept.begin(), gate.kept.end(), [&](const StreamEvent& kept) {
    return event.sticky && kept.name == event.name;
  });
  if (same != gate.kept.end()) {
    *same = event;
  } else if (event.sticky || (!gate.open && gate.kept.size() < protocol::kEventWindow)) {
    gate.kept.push_back(event);
  } else if (!gate.open) {
    return PushResult::dropped;
  }
  if (!gate.open) return PushResult::accepted;  // it goes with the next session
  const bool first = gate.submissions.empty();
  const bool here = gate.attends();
  gate.submissions.emplace_back(protocol::Event{++gate.events_sent, gate.last_sequence, event});
  lock.unlock();
  impl_->send(here, first);
  return PushResult::accepted;
}

bool Initiator::drain(std::chrono::milliseconds timeout) {
  Gate& gate = *impl_->gate;
  std::unique_lock lock(gate.mutex);
  const auto arrived = [&] {
    return gate.settled == gate.last_sequence && gate.events_delivered == gate.events_sent;
  };
  gate.changed.wait_for(lock, timeout,
                        [&] { return gate.flushing || gate.failed || !gate.open || arrived(); });
  return gate.open && !gate.flushing && arrived();
}

void Initiator::set_flushing(bool flushing) {
  {
    const std::lock_guard lock(impl_->gate->mutex);
    impl_->gate->flushing = flushing;
  }
  impl_->gate->notify();
}

void Initiator::forget_event(const std::string& name) {
  const std::lock_guard lock(impl_->gate->mutex);
  std::erase_if(impl_->gate->kept, [&](const StreamEvent& event) { return event.name == name; });
}

void Initiator::forget_events() {
  const std::lock_guard lock(impl_->gate->mutex);
  impl_->gate->kept.clear();
}

Stats Initiator::stats() const {
  const std::lock_guard lock(impl_->gate->mutex);
  Stats stats = impl_->gate->stats;
  stats.credits = impl_->gate->free_slots.size();
  if (!impl_->gate->open) stats.lost += impl_->gate->last_sequence - impl_->gate->settled;
  return stats;
}

}  // namespace grainfabric
