// SPDX-License-Identifier: Apache-2.0
#include "session/initiator.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.hpp"
#include "session/gate.hpp"
#include "session/initiator_link.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/table.hpp"

namespace grainfabric {
namespace {

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
                                        std::uint64_t events_before, std::size_t payload_size) {
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
  header.total_slices = 1;
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
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::shared_ptr<InitiatorLink> link;

  void wake() {
    loop->post([link = link] { link->take_submissions(); });
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
  impl_->loop = std::move(loop);
  impl_->link =
      std::make_shared<InitiatorLink>(*impl_->loop, std::move(options), impl_->gate, events);
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
    foreign = foreign || (!part.region && !part.bytes.empty());
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
      if (!policy.wait_for_credit) return impl_->drop();
      gate.changed.wait(lock);
      continue;
    }

    const std::shared_ptr<OutgoingLane> lane = gate.lane;
    QueuedGrain queued;
    queued.lane = lane;
    queued.slot = gate.free_slots.back();
    gate.free_slots.pop_back();
    const bool copy =
        long_metadata || parts > lane->max_payload_parts() || (foreign && lane->only_regions());
    if (copy) {
      lock.unlock();
      try {
        PayloadPart staged = lane->staging(queued.slot, needed);
        copy_grain(grain, staged.bytes);
        staged.bytes =
            staged.bytes.first(payload_size + (long_metadata ? grain.metadata.size() : 0));
        queued.payload.push_back(std::move(staged));
      } catch (const Error& error) {
        impl_->fail(error);
        return PushResult::failed;
      }
      lock.lock();
      if (gate.lane != lane) continue;  // the session ended meanwhile, and the slot with it
    } else {
      queued.payload.assign(grain.payload.begin(), grain.payload.end());
      queued.release = grain.release;
    }
    queued.sequence = ++gate.last_sequence;
    queued.header = write_header(lane->header_block(queued.slot), grain, lane->epoch(),
                                 queued.sequence, gate.events_sent, payload_size);
    ++gate.stats.grains;
    gate.stats.bytes += payload_size;
    if (foreign) ++gate.stats.grains_foreign;
    if (copy) {
      ++gate.stats.grains_copied;
      gate.stats.bytes_copied += payload_size;
    }
    const bool first = gate.submissions.empty();
    gate.submissions.emplace_back(std::move(queued));
    lock.unlock();
    if (first) impl_->wake();
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
  gate.submissions.emplace_back(protocol::Event{++gate.events_sent, gate.last_sequence, event});
  lock.unlock();
  if (first) impl_->wake();
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
  impl_->gate->changed.notify_all();
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
