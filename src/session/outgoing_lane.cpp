// SPDX-License-Identifier: Apache-2.0
#include "session/outgoing_lane.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace grainfabric {
namespace {

/// Pause before memory is shared again that found the queue full: nothing says when it is not.
constexpr std::chrono::milliseconds kShareRetry{1};

/// Files that the peer is given at a time; it takes 640, with those on their way
/// (transport/local/limits.hpp). Elements that make a file for each buffer could otherwise have
/// more of them about.
constexpr std::size_t kMostShared = 512;

}  // namespace

OutgoingLane::OutgoingLane(EventLoop& loop, transport::Domain& domain, Registrations& registrations,
                           std::uint64_t epoch, RailOptions rail_options, Polling polling,
                           Events& events)
    : loop_(loop),
      domain_(&domain),
      registrations_(&registrations),
      epoch_(epoch),
      rail_options_(rail_options),
      polling_(polling),
      events_(events),
      shares_(domain.capabilities().shares),
      near_(domain.capabilities().interface),
      max_payload_parts_(
          shares_ ? 1 : std::min(domain.capabilities().max_pieces, Transfer::kMaxPieces) - 1),
      foreign_(domain.capabilities().local_registration ? registrations.foreign() : nullptr),
      credit_word_(Region::create(kPageSize, "grainfabric-credits")),
      credit_registration_(
          domain.register_memory(credit_word_->bytes(), transport::Access::remote)) {}

OutgoingLane::~OutgoingLane() = default;

protocol::Config OutgoingLane::config(std::size_t capacity, std::size_t slots) const {
  const bool ordered = domain_->capabilities().ordered;
  return {epoch_, shares_ ? 1 : capacity, slots,
          ordered ? Announce::last_piece : Announce::every_piece, credit_registration_->remote()};
}

void OutgoingLane::connect(const protocol::Ring& ring) {
  capacity_ = shares_ ? kMaxCapacity : ring.capacity;
  stride_ = slot_stride(ring.capacity);
  ring_ = ring.memory;
  slots_.resize(ring.slots);
  headers_ = Region::create(ring.slots * kGrainHeaderSpace, "grainfabric-headers");
  registrations_->of(headers_);
  endpoint_ = domain_->connect(ring.address, ring.token, *this);
  rail_ = std::make_unique<Rail>(*endpoint_, domain_->capabilities(), rail_options_);
  // Where the streaming thread serves it, that does the polling.
  watch_ = loop_.watch(*endpoint_, shares_ ? Polling::event : polling_);
}

void OutgoingLane::close() {
  watch_.reset();
  retry_.reset();
  std::vector<LentGrain> lent;
  for (Slot& slot : slots_) {
    if (shares_ && !slot.granted) lent.push_back(std::exchange(slot.held, {}));
  }
  UniqueFd lifeline = shares_ && endpoint_ ? endpoint_->lifeline() : UniqueFd();
  endpoint_.reset();
  release_when_hung_up(loop_, std::move(lifeline), std::move(lent));
  if (rail_) rail_->abandon();
  rail_.reset();
  while (!waiting_.empty()) let_go(waiting_.pop_front().slot);  // each holds this lane
  credit_registration_.reset();
  domain_ = nullptr;
  registrations_ = nullptr;
}

std::byte* OutgoingLane::header_block(std::uint16_t slot) const noexcept {
  return headers_->data() + slot * kGrainHeaderSpace;
}

PayloadPart OutgoingLane::staging(std::uint16_t slot, std::size_t size) {
  if (!staging_ || size > staging_stride_) {
    // Where no ring says how long a grain can be, a quarter more: streams whose sizes vary would
    // need new memory for each new record. What is lent of the old keeps it.
    staging_stride_ = page_align(shares_ ? size + size / 4 : capacity_);
    staging_ =
        Region::create(staging_stride_ * slots_.size(), "grainfabric-staging", {.near = near_});
  }
  return {{staging_->data() + slot * staging_stride_, size}, staging_};
}

bool OutgoingLane::takes(std::span<const PayloadPart> payload) const {
  return std::all_of(payload.begin(), payload.end(), [this](const PayloadPart& part) {
    if (part.bytes.empty()) return true;
    if (shares_) return part.region && part.region->can_be_shared();
    if (!foreign_) return true;
    return part.region && part.region->can_be_registered() &&
           (!part.region->is_view() || foreign_->serves(part.region));
  });
}

void OutgoingLane::hold(std::uint16_t slot, std::span<const PayloadPart> payload, Release release) {
  slots_[slot].held.parts.assign(payload.begin(), payload.end());
  slots_[slot].held.release = release;
}

void OutgoingLane::let_go(std::uint16_t slot) {
  LentGrain& held = slots_[slot].held;
  held.parts.clear();
  std::exchange(held.release, {})();
}

void OutgoingLane::submit(const QueuedGrain& grain) {
  if (!rail_) {
    let_go(grain.slot);
  } else if (shares_) {
    waiting_.push_back(grain);
    write_waiting();
  } else {
    write(grain);
  }
  watch_.touch();
}

void OutgoingLane::write(const QueuedGrain& grain) {
  Slot& slot = slots_[grain.slot];
  Transfer transfer;
  const auto add = [&](std::span<const std::byte> bytes, const std::shared_ptr<Region>& region) {
    if (bytes.empty()) return;
    transfer.pieces[transfer.piece_count++] = {bytes.data(), bytes.size(),
                                               registrations_->of(region)};
  };
  try {
    registrations_->register_asked();
    add(grain.header, headers_);
    if (!shares_) {
      for (const PayloadPart& part : slot.held.parts) add(part.bytes, part.region);
    }
  } catch (const Error& error) {
    let_go(grain.slot);
    fail(error);
    return;
  }
  slot.writing = true;
  slot.granted = false;
  slot.sequence = grain.sequence;
  transfer.target_address =
      ring_.address + grain.slot * stride_ + kSlotHeaderSize - grain.header.size();
  transfer.key = ring_.key;
  transfer.subject = grain.slot;
  transfer.slices = static_cast<std::uint16_t>(grain.slices.count);
  if (!shares_) {
    transfer.lead = grain.header.size();
    transfer.slice_size = grain.slices.size;
  }
  transfer.done = [this, index = grain.slot](bool written) {
    if (!shares_) let_go(index);  // lent memory comes back with the credit
    if (written) on_written(index);
  };
  rail_->submit(std::move(transfer));
}

// ---- shared memory ----------------------------------------------------------------------------

void OutgoingLane::write_waiting() {
  while (!waiting_.empty() && rail_) {
    const QueuedGrain& next = waiting_.front();
    const std::vector<PayloadPart>& parts = slots_[next.slot].held.parts;
    if (!parts.empty() && !parts[0].bytes.empty()) {
      const PayloadPart& part = parts[0];
      const std::optional<std::uint32_t> id = share(part.region);
      if (!id) {
        retry_ = loop_.after(kShareRetry, [this] { write_waiting(); });
        return;
      }
      auto* const header = reinterpret_cast<GrainHeader*>(header_block(next.slot) +
                                                          kGrainHeaderSpace - sizeof(GrainHeader));
      header->shared = *id;
      header->shared_offset = static_cast<std::uint64_t>(part.bytes.data() - part.region->data());
    }
    write(waiting_.pop_front());
  }
}

/// The number under which the peer knows `region`, which it is given at first use. Nothing: there
/// is no room to tell it now.
std::optional<std::uint32_t> OutgoingLane::share(const std::shared_ptr<Region>& region) {
  const auto known = shared_.find(region.get());
  // An address may be used again by another region: only a living one is the same one.
  if (known != shared_.end() && !known->second.region.expired()) {
    known->second.last_use = ++shared_uses_;
    return known->second.id;
  }
  if (!unshare_gone() || (shared_.size() >= kMostShared && !unshare_oldest())) return std::nullopt;
  const std::uint32_t id = last_shared_ + 1;
  if (endpoint_->share(id, region->read_only_fd()) == transport::Posted::again) {
    return std::nullopt;
  }
  shared_[region.get()] = {region, id, ++shared_uses_};
  return last_shared_ = id;
}

/// False: there is no room to tell the peer now.
bool OutgoingLane::unshare_gone() {
  for (auto entry = shared_.begin(); entry != shared_.end();) {
    if (!entry->second.region.expired()) {
      ++entry;
      continue;
    }
    if (endpoint_->unshare(entry->second.id) == transport::Posted::again) return false;
    entry = shared_.erase(entry);
  }
  return true;
}

/// The peer keeps what it still reads; if more comes from there, it is given the file again.
bool OutgoingLane::unshare_oldest() {
  const auto oldest = std::min_element(shared_.begin(), shared_.end(), [](auto& one, auto& other) {
    return one.second.last_use < other.second.last_use;
  });
  if (endpoint_->unshare(oldest->second.id) == transport::Posted::again) return false;
  shared_.erase(oldest);
  return true;
}

void OutgoingLane::forget_gone() {
  registrations_->forget_gone();
  if (rail_) static_cast<void>(unshare_gone());
}

// ---- what the transport says ------------------------------------------------------------------

void OutgoingLane::on_written(std::uint16_t index) {
  Slot& slot = slots_[index];
  slot.writing = false;
  if (slot.granted) events_.on_slot_writable(*this, index);
}

void OutgoingLane::on_connected() {
  events_.on_lane_ready(*this);
}

void OutgoingLane::on_completed(std::uint64_t context) {
  events_.on_lane_progress();  // a large grain on a slow network takes its time
  if (rail_) rail_->on_completed(context);
}

void OutgoingLane::on_immediate(std::uint32_t immediate) {
  const auto index = static_cast<std::uint16_t>(immediate & 0xFFFFU);
  if (index >= slots_.size() || slots_[index].granted) {
    fail(Error(ErrorCode::protocol, "The target gave a credit for slot " + std::to_string(index) +
                                        " that was not its to give"));
    return;
  }
  Slot& slot = slots_[index];
  slot.granted = true;
  if (shares_) let_go(index);
  events_.on_arrived(*this, slot.sequence);
  if (!slot.writing) events_.on_slot_writable(*this, index);
}

void OutgoingLane::on_closed(const Error& reason) {
  fail(reason);
}

/// Who hears of it tells others and dials anew: not on a streaming thread.
void OutgoingLane::fail(const Error& reason) {
  if (loop_.on_loop_thread()) {
    events_.on_lane_failed(*this, reason);
    return;
  }
  loop_.post([weak = weak_from_this(), reason] {
    const auto self = weak.lock();
    if (self && self->endpoint_) self->events_.on_lane_failed(*self, reason);
  });
}

}  // namespace grainfabric
