// SPDX-License-Identifier: Apache-2.0
#include "session/incoming_lane.hpp"

#include <cstddef>
#include <cstring>
#include <utility>

namespace grainfabric {
namespace {

/// Pause before credits that found the queue full are tried again: injected writes give no
/// completion that would say when.
constexpr std::chrono::milliseconds kCreditRetry{1};

bool cut_makes_sense(const GrainHeader& header) {
  if (header.slice_size == 0) return header.total_slices == 1;
  const std::uint64_t slices = header.payload_size / header.slice_size +
                               (header.payload_size % header.slice_size != 0 ? 1 : 0);
  return header.total_slices == slices && slices > 0 && slices <= kMaxSlices;
}

}  // namespace

IncomingLane::IncomingLane(EventLoop& loop, transport::Domain& domain,
                           const protocol::Config& config, std::size_t slots, Pages pages,
                           Polling polling, Events& events)
    : loop_(loop),
      config_(config),
      events_(events),
      ring_(std::make_shared<IncomingRing>(slots, config.capacity,
                                           Placement{pages, domain.capabilities().interface})),
      registration_(domain.register_memory(ring_->region()->bytes(), transport::Access::remote)),
      shares_(domain.capabilities().shares),
      slots_(slots),
      granted_(slots),
      endpoint_(domain.accept(token_, *this)),
      watch_(loop.watch(*endpoint_, shares_ ? Polling::event : polling)) {}

IncomingLane::~IncomingLane() {
  ring_->on_released(nullptr);
  retry_.reset();
  watch_.reset();
  // The endpoint before the registration: nothing may land under a key that is going.
  endpoint_.reset();
  registration_.reset();
}

protocol::Ring IncomingLane::offer() const {
  return {config_.epoch,           ring_->capacity(),    ring_->slots(),
          registration_->remote(), endpoint_->address(), token_};
}

void IncomingLane::on_connected() {
  connected_ = true;
  if (shares_) ring_->keep(endpoint_->lifeline());
  return_credits();
  events_.on_lane_connected(*this);
}

void IncomingLane::on_shared(std::uint32_t id, UniqueFd file) {
  try {
    shared_[id] = Region::open(std::move(file));
  } catch (const Error& error) {
    events_.on_lane_closed(*this, error);
  }
}

void IncomingLane::on_closed(const Error& reason) {
  events_.on_lane_closed(*this, reason);
}

void IncomingLane::on_immediate(std::uint32_t immediate) {
  const auto index = static_cast<std::uint16_t>(immediate & 0xFFFFU);
  const auto count = static_cast<std::uint16_t>(immediate >> 16U);
  if (index >= slots_.size() || !slots_[index].granted || count == 0) {
    events_.on_lane_closed(
        *this, Error(ErrorCode::protocol, "The initiator announced slot " + std::to_string(index) +
                                              " without a credit for it"));
    return;
  }
  if (config_.announce == Announce::every_piece) {
    if (++slots_[index].announced < count) return;
  } else if (!take_slices(index, count)) {
    return;
  }
  slots_[index] = {false, 0};
  --granted_;
  events_.on_landed(*this, index);
}

/// Takes note of slices that have landed; true when these were the last of the grain. The first of
/// them bring the header, which must not change any more.
bool IncomingLane::take_slices(std::uint16_t index, std::uint16_t valid) {
  auto begun = begun_.find(index);
  const std::uint32_t total =
      begun != begun_.end() ? begun->second.header.total_slices : total_slices(index);
  const std::uint16_t before = slots_[index].announced;
  try {
    if (valid <= before || valid > total) {
      throw Error(ErrorCode::protocol, "The initiator announced slice " + std::to_string(valid) +
                                           " of " + std::to_string(total) + " after " +
                                           std::to_string(before));
    }
    if (valid == total) return true;
    if (begun == begun_.end()) begun = begun_.emplace(index, read(index, nullptr)).first;
    slots_[index].announced = valid;
    events_.on_slices(*this, begun->second, valid);
  } catch (const Error& error) {
    events_.on_lane_closed(*this, error);
  }
  return false;
}

std::uint32_t IncomingLane::total_slices(std::uint16_t slot) const {
  const std::byte* const behind_header = ring_->region()->data() + ring_->payload_offset(slot);
  std::uint32_t total = 0;
  std::memcpy(&total, behind_header - sizeof(GrainHeader) + offsetof(GrainHeader, total_slices),
              sizeof total);
  return total;
}

IncomingLane::Landed IncomingLane::open(std::uint16_t slot) {
  Landed landed = read(slot, ring_);
  const auto begun = begun_.find(slot);
  if (begun != begun_.end()) {
    const bool same = std::memcmp(&begun->second.header, &landed.header, sizeof landed.header) == 0;
    begun_.erase(begun);
    if (!same) {
      throw Error(ErrorCode::protocol,
                  "The grain header in slot " + std::to_string(slot) + " changed between slices");
    }
  }
  return landed;
}

/// What is in the slot. `holder`: the ring, if the slot is to be given back by the end of the
/// lease.
IncomingLane::Landed IncomingLane::read(std::uint16_t slot,
                                        std::shared_ptr<IncomingRing> holder) const {
  const std::byte* const behind_header = ring_->region()->data() + ring_->payload_offset(slot);
  Landed landed;
  // One copy, checked and then used: what is in the slot is the peer's to change.
  std::memcpy(&landed.header, behind_header - sizeof(GrainHeader), sizeof(GrainHeader));
  const GrainHeader& header = landed.header;
  // Where the payload lies, and how much room there is for it.
  std::shared_ptr<Region> memory = ring_->region();
  const std::byte* payload = behind_header;
  std::size_t room = ring_->capacity();
  if (header.shared != 0) {
    const auto found = shared_.find(header.shared);
    memory = found != shared_.end() ? found->second : nullptr;
    const bool inside = memory && header.shared_offset <= memory->size();
    payload = inside ? memory->data() + header.shared_offset : nullptr;
    room = inside ? memory->size() - header.shared_offset : 0;
  }
  landed.grain.lease = GrainLease(std::move(holder), slot, std::move(memory));
  const bool before =
      header.metadata_place == static_cast<std::uint32_t>(MetadataPlace::before_header);
  const bool after =
      header.metadata_place == static_cast<std::uint32_t>(MetadataPlace::after_payload);
  if (header.magic != kGrainMagic || header.version != kGrainVersion ||
      header.header_size != sizeof(GrainHeader) || header.epoch != config_.epoch ||
      payload == nullptr || header.payload_size > room || header.metadata_size > kMaxMetadata ||
      !(before || after) || (before && header.metadata_size > kMaxHeaderMetadata) ||
      (after && header.metadata_size > room - header.payload_size) || !cut_makes_sense(header)) {
    throw Error(ErrorCode::protocol, "The grain header in slot " + std::to_string(slot) +
                                         " makes no sense for this ring");
  }
  IncomingGrain& grain = landed.grain;
  grain.payload = {payload, header.payload_size};
  grain.metadata = {before ? behind_header - sizeof(GrainHeader) - pad8(header.metadata_size)
                           : payload + header.payload_size,
                    header.metadata_size};
  grain.info.sequence = header.sequence;
  grain.info.pts = header.pts;
  grain.info.dts = header.dts;
  grain.info.duration = header.duration;
  grain.info.offset = header.offset;
  grain.info.offset_end = header.offset_end;
  grain.info.tai = header.tai;
  grain.info.sent_tai = header.sent_tai;
  grain.info.flags = header.flags;
  return landed;
}

void IncomingLane::return_credits() {
  ring_->take_released(&released_);
  for (const std::uint16_t slot : released_) owed_.push_back(slot);
  released_.clear();
  if (!connected_) return;
  watch_.touch();
  while (!owed_.empty()) {
    const std::uint16_t slot = owed_.front();
    const std::uint64_t count = credits_given_ + 1;
    slots_[slot].granted = true;  // before the peer can know
    switch (endpoint_->inject_write(std::as_bytes(std::span(&count, 1)), config_.credit.address,
                                    config_.credit.key, make_immediate(slot, 1))) {
      case transport::Posted::ok:
        owed_.drop_front();
        ++granted_;
        credits_given_ = count;
        break;
      case transport::Posted::again:
        slots_[slot].granted = false;
        retry_ = loop_.after(kCreditRetry, [this] { return_credits(); });
        return;
      case transport::Posted::failed:
        slots_[slot].granted = false;
        return;  // on_closed() says why
    }
  }
}

}  // namespace grainfabric
