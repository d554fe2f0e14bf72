// SPDX-License-Identifier: Apache-2.0
#include "session/outgoing_lane.hpp"

#include <algorithm>
#include <utility>

namespace grainfabric {

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
      max_payload_parts_(std::min(domain.capabilities().max_pieces, Transfer::kMaxPieces) - 1),
      only_regions_(domain.capabilities().local_registration),
      credit_word_(Region::create(kPageSize, "grainfabric-credits")),
      credit_registration_(
          domain.register_memory(credit_word_->bytes(), transport::Access::remote)) {}

OutgoingLane::~OutgoingLane() = default;

protocol::Config OutgoingLane::config(std::size_t capacity, std::size_t slots) const {
  const bool ordered = domain_->capabilities().ordered;
  return {epoch_, capacity, slots, ordered ? Announce::last_piece : Announce::every_piece,
          credit_registration_->remote()};
}

void OutgoingLane::connect(const protocol::Ring& ring) {
  capacity_ = ring.capacity;
  ring_ = ring.memory;
  slots_.assign(ring.slots, {});
  headers_ = Region::create(ring.slots * kGrainHeaderSpace, "grainfabric-headers");
  registrations_->of(headers_);
  endpoint_ = domain_->connect(ring.address, ring.token, *this);
  rail_ = std::make_unique<Rail>(*endpoint_, domain_->capabilities(), rail_options_);
  watch_ = loop_.watch(*endpoint_, polling_);
}

void OutgoingLane::close() {
  watch_.reset();
  endpoint_.reset();
  if (rail_) rail_->abandon();
  rail_.reset();
  credit_registration_.reset();
  domain_ = nullptr;
  registrations_ = nullptr;
}

std::byte* OutgoingLane::header_block(std::uint16_t slot) const noexcept {
  return headers_->data() + slot * kGrainHeaderSpace;
}

PayloadPart OutgoingLane::staging(std::uint16_t slot) {
  const std::size_t stride = page_align(capacity_);
  if (!staging_) staging_ = Region::create(stride * slots_.size(), "grainfabric-staging");
  return {{staging_->data() + slot * stride, capacity_}, staging_};
}

void OutgoingLane::submit(QueuedGrain grain) {
  if (!rail_) {
    grain.release();
    return;
  }
  Transfer transfer;
  const auto add = [&](std::span<const std::byte> bytes, const std::shared_ptr<Region>& region) {
    if (bytes.empty()) return;
    transfer.pieces[transfer.piece_count++] = {bytes.data(), bytes.size(),
                                               registrations_->of(region)};
  };
  try {
    add(grain.header, headers_);
    for (const PayloadPart& part : grain.payload) add(part.bytes, part.region);
  } catch (const Error& error) {
    grain.release();
    events_.on_lane_failed(*this, error);
    return;
  }
  Slot& slot = slots_[grain.slot];
  slot = {true, false, grain.sequence};
  transfer.target_address =
      ring_.address + grain.slot * slot_stride(capacity_) + kSlotHeaderSize - grain.header.size();
  transfer.key = ring_.key;
  transfer.subject = grain.slot;
  // The parts stay with the transfer: their regions must live until the last byte has left.
  transfer.done = [this, slot_index = grain.slot, release = grain.release,
                   parts = std::move(grain.payload)](bool written) {
    release();
    if (written) on_written(slot_index);
  };
  rail_->submit(std::move(transfer));
}

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
  events_.on_arrived(*this, slot.sequence);
  if (!slot.writing) events_.on_slot_writable(*this, index);
}

void OutgoingLane::on_closed(const Error& reason) {
  events_.on_lane_failed(*this, reason);
}

}  // namespace grainfabric
