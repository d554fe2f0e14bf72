// SPDX-License-Identifier: Apache-2.0
#include "session/outgoing_lane.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace grainfabric {
namespace {

/// Pause before memory is shared again that found the queue full: nothing says when it is not.
constexpr std::chrono::milliseconds kShareRetry{1};

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
      max_payload_parts_(
          shares_ ? 1 : std::min(domain.capabilities().max_pieces, Transfer::kMaxPieces) - 1),
      only_regions_(shares_ || domain.capabilities().local_registration),
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
  watch_ = loop_.watch(*endpoint_, polling_);
}

void OutgoingLane::close() {
  watch_.reset();
  retry_.reset();
  std::vector<LentGrain> lent;
  for (Slot& slot : slots_) {
    if (!slot.granted) lent.push_back(std::exchange(slot.lent, {}));
  }
  UniqueFd lifeline = shares_ && endpoint_ ? endpoint_->lifeline() : UniqueFd();
  endpoint_.reset();
  release_when_hung_up(loop_, std::move(lifeline), std::move(lent));
  if (rail_) rail_->abandon();
  rail_.reset();
  for (const QueuedGrain& grain : std::exchange(waiting_, {})) grain.release();
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
    staging_ = Region::create(staging_stride_ * slots_.size(), "grainfabric-staging");
  }
  return {{staging_->data() + slot * staging_stride_, size}, staging_};
}

void OutgoingLane::submit(QueuedGrain grain) {
  if (!rail_) {
    grain.release();
  } else if (shares_) {
    waiting_.push_back(std::move(grain));
    write_waiting();
  } else {
    write(std::move(grain));
  }
}

void OutgoingLane::write(QueuedGrain grain) {
  Transfer transfer;
  const auto add = [&](std::span<const std::byte> bytes, const std::shared_ptr<Region>& region) {
    if (bytes.empty()) return;
    transfer.pieces[transfer.piece_count++] = {bytes.data(), bytes.size(),
                                               registrations_->of(region)};
  };
  try {
    add(grain.header, headers_);
    if (!shares_) {
      for (const PayloadPart& part : grain.payload) add(part.bytes, part.region);
    }
  } catch (const Error& error) {
    grain.release();
    events_.on_lane_failed(*this, error);
    return;
  }
  Slot& slot = slots_[grain.slot];
  slot.writing = true;
  slot.granted = false;
  slot.sequence = grain.sequence;
  transfer.target_address =
      ring_.address + grain.slot * stride_ + kSlotHeaderSize - grain.header.size();
  transfer.key = ring_.key;
  transfer.subject = grain.slot;
  if (shares_) {
    slot.lent = {grain.release, std::move(grain.payload)};
    transfer.done = [this, slot_index = grain.slot](bool written) {
      if (written) on_written(slot_index);
    };
  } else {
    // The parts stay with the transfer: their regions must live until the last byte has left.
    transfer.done = [this, slot_index = grain.slot, release = grain.release,
                     parts = std::move(grain.payload)](bool written) {
      release();
      if (written) on_written(slot_index);
    };
  }
  rail_->submit(std::move(transfer));
}

// ---- shared memory ----------------------------------------------------------------------------

void OutgoingLane::write_waiting() {
  while (!waiting_.empty() && rail_) {
    const QueuedGrain& next = waiting_.front();
    if (!next.payload.empty() && !next.payload[0].bytes.empty()) {
      const PayloadPart& part = next.payload[0];
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
    QueuedGrain grain = std::move(waiting_.front());
    waiting_.pop_front();
    write(std::move(grain));
  }
}

/// The number under which the peer knows `region`, which it is given at first use. Nothing: there
/// is no room to tell it now.
std::optional<std::uint32_t> OutgoingLane::share(const std::shared_ptr<Region>& region) {
  const auto known = shared_.find(region.get());
  // An address may be used again by another region: only a living one is the same one.
  if (known != shared_.end() && !known->second.region.expired()) return known->second.id;
  for (auto entry = shared_.begin(); entry != shared_.end();) {
    if (!entry->second.region.expired()) {
      ++entry;
      continue;
    }
    if (endpoint_->unshare(entry->second.id) == transport::Posted::again) return std::nullopt;
    entry = shared_.erase(entry);
  }
  const std::uint32_t id = last_shared_ + 1;
  if (endpoint_->share(id, region->read_only_fd()) == transport::Posted::again) {
    return std::nullopt;
  }
  shared_[region.get()] = {region, id};
  return last_shared_ = id;
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
    events_.on_lane_failed(
        *this, Error(ErrorCode::protocol, "The target gave a credit for slot " +
                                              std::to_string(index) + " that was not its to give"));
    return;
  }
  Slot& slot = slots_[index];
  slot.granted = true;
  std::exchange(slot.lent, {}).release();
  events_.on_arrived(*this, slot.sequence);
  if (!slot.writing) events_.on_slot_writable(*this, index);
}

void OutgoingLane::on_closed(const Error& reason) {
  events_.on_lane_failed(*this, reason);
}

}  // namespace grainfabric
