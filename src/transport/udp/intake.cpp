// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/intake.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace grainfabric::transport::udp {
namespace {

/// Messages into staging at once: each may be 64 KiB, and four of them still lie in L2 when they
/// are copied on.
constexpr std::size_t kStagedBatch = 4;

/// Of each datagram but the last in a message of `whole` bytes.
std::size_t segment_of(msghdr* header, std::size_t whole) noexcept {
  for (cmsghdr* control = CMSG_FIRSTHDR(header); control != nullptr;
       control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
    int segment = 0;
    std::memcpy(&segment, CMSG_DATA(control), sizeof segment);
    if (segment > 0) return static_cast<std::size_t>(segment);
  }
  return whole;
}

}  // namespace

Intake::Intake() : staging_(kReceiveBatch * kSlot) {}

/// The next slot: of the forecast from `*ahead` bytes on, or of whatever comes.
void Intake::add_slot(const Inbox::Forecast* forecast, std::size_t* ahead) noexcept {
  Slot& slot = slots_[wanted_];
  slot = {};
  slot.first_part = part_count_;
  slot.first_header = header_count_;
  std::size_t used = 0;
  if (forecast != nullptr) {
    slot.place = forecast->place + *ahead;
    slot.position = forecast->next.position + *ahead;
    slot.chunk = forecast->chunk;
  }
  const std::size_t most = grouped() ? kMaxGroup : 1;
  while (forecast != nullptr && slot.forecast < most && *ahead < forecast->left) {
    const std::size_t size = std::min(forecast->chunk, forecast->left - *ahead);
    if (used + kDataHeaderSize + size > kSlot) break;
    parts_[part_count_++] = {headers_[header_count_++].bytes.data(), kDataHeaderSize};
    parts_[part_count_++] = {forecast->place + *ahead, size};
    *ahead += size;
    used += kDataHeaderSize + size;
    ++slot.forecast;
  }
  // What is more than forecast comes to lie where bring_together() wants it.
  const auto rest = staging(wanted_).subspan(used);
  parts_[part_count_++] = {rest.data(), rest.size()};
  slot.part_count = part_count_ - slot.first_part;
  msghdr& header = vector_[wanted_].msg_hdr;
  header = {};
  header.msg_iov = &parts_[slot.first_part];
  header.msg_iovlen = slot.part_count;
  header.msg_control = controls_[wanted_].bytes.data();
  header.msg_controllen = controls_[wanted_].bytes.size();
  ++wanted_;
}

void Intake::prepare(const Inbox::Forecast* forecast) noexcept {
  wanted_ = part_count_ = header_count_ = 0;
  std::size_t ahead = 0;
  if (grouped()) {  // one message is work enough for a call, and the next is forecast better then
    add_slot(forecast, &ahead);
    return;
  }
  while (forecast != nullptr && wanted_ < kReceiveBatch && ahead < forecast->left) {
    add_slot(forecast, &ahead);
  }
  const std::size_t end =
      std::min(wanted_ + (forecast == nullptr ? kStagedBatch : 1), kReceiveBatch);
  while (wanted_ < end) add_slot(nullptr, &ahead);
}

Intake::Outcome Intake::on_error(int error) noexcept {
  error_ = error;
  switch (error) {
    case EAGAIN:
    case EINTR:
      return Outcome::none;
    case ECONNREFUSED:
      return Outcome::refused;
    case EMSGSIZE:  // and what else Linux makes of ICMP and ICMPv6
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EPROTO:
    case EACCES:
      return Outcome::icmp;
    default:
      return Outcome::failed;
  }
}

Intake::Outcome Intake::peek(int socket, std::span<std::byte, kDataHeaderSize> header,
                             std::size_t* size) noexcept {
  // Of a group the kernel tells the length of all: what is forecast is its first datagram.
  iovec part{header.data(), header.size()};
  Control control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  const ssize_t received = ::recvmsg(socket, &message, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (received < 0) return on_error(errno);  // it is told only once
  const auto whole = static_cast<std::size_t>(received);
  *size = std::min(whole, segment_of(&message, whole));
  return Outcome::some;
}

Intake::Outcome Intake::receive(int socket, const Inbox::Forecast* forecast,
                                std::uint64_t connection) noexcept {
  count_ = next_ = offset_ = 0;
  prepare(forecast);
  const int received =
      ::recvmmsg(socket, vector_.data(), static_cast<unsigned>(wanted_), MSG_DONTWAIT, nullptr);
  if (received < 0) return on_error(errno);
  count_ = static_cast<std::size_t>(received);
  bool as_forecast = true;
  for (std::size_t i = 0; i < count_; ++i) {
    Slot& slot = slots_[i];
    slot.size = vector_[i].msg_len;
    slot.segment = segment_of(&vector_[i].msg_hdr, slot.size);
    alone_ = slot.segment < slot.size ? 0 : std::min(alone_ + 1, kAloneToUngroup);
    if (slot.forecast == 0) continue;
    as_forecast = as_forecast && is_as_forecast(&slot, *forecast, connection);
    slot.in_place = as_forecast;
    if (!as_forecast) bring_together(i);
  }
  return Outcome::some;
}

bool Intake::is_as_forecast(Slot* slot, const Inbox::Forecast& forecast,
                            std::uint64_t connection) const noexcept {
  if (slot->size <= kDataHeaderSize) return false;
  const std::size_t whole = kDataHeaderSize + slot->chunk;
  if (slot->segment != slot->size && slot->segment != whole) return false;
  const std::size_t datagrams = (slot->size + slot->segment - 1) / slot->segment;
  if (datagrams > slot->forecast || slot->size > datagrams * whole) return false;
  const std::size_t last = slot->size - (datagrams - 1) * slot->segment;
  // The last forecast may have had less room than a whole chunk.
  const iovec& room = parts_[slot->first_part + 2 * datagrams - 1];
  if (last <= kDataHeaderSize || last - kDataHeaderSize > room.iov_len) return false;
  Data& together = slot->together;
  together.datagrams = 0;
  bool is_one_run = true;
  std::uint8_t flags = 0;
  for (std::size_t i = 0; i < datagrams; ++i) {
    Data data;
    const std::size_t ahead = i * slot->chunk;
    if (!parse_data(headers_[slot->first_header + i].bytes, {}, &data) ||
        data.connection != connection || data.position != slot->position + ahead ||
        data.kind != forecast.next.kind || data.key != forecast.next.key ||
        data.address - forecast.next.address != data.position - forecast.next.position) {
      return false;
    }
    // Of what the others say only the last may have more to tell than where it belongs.
    is_one_run = is_one_run && (i == 0 || data.number == together.number + i) &&
                 (i + 1 == datagrams || (data.flags & (kImmediate | kLast)) == 0);
    flags |= data.flags;
    if (i == 0) together = data;
    together.immediate = data.immediate;
    together.left = data.left;
  }
  together.flags = flags;
  together.datagrams = is_one_run ? static_cast<std::uint32_t>(datagrams) : 0;
  together.chunk = static_cast<std::uint32_t>(slot->chunk);
  together.payload = {slot->place, slot->size - datagrams * kDataHeaderSize};
  return true;
}

void Intake::bring_together(std::size_t index) noexcept {
  const Slot& slot = slots_[index];
  std::byte* to = staging(index).data();
  std::size_t left = slot.size;
  for (std::size_t i = 0; i + 1 < slot.part_count && left > 0; ++i) {
    const iovec& part = parts_[slot.first_part + i];
    const std::size_t size = std::min(part.iov_len, left);
    std::memcpy(to, part.iov_base, size);
    to += size;
    left -= size;
  }
}

const Data* Intake::together() const noexcept {
  if (next_ == count_ || offset_ != 0) return nullptr;
  const Slot& slot = slots_[next_];
  return slot.in_place && slot.together.datagrams > 1 ? &slot.together : nullptr;
}

bool Intake::next(Arrival* arrival) noexcept {
  while (next_ < count_ && offset_ >= slots_[next_].size) {
    ++next_;
    offset_ = 0;
  }
  if (next_ == count_) return false;
  const Slot& slot = slots_[next_];
  const std::size_t size = std::min(slot.segment, slot.size - offset_);
  if (slot.in_place) {
    const std::size_t number = offset_ / slot.segment;
    *arrival = {headers_[slot.first_header + number].bytes,
                {slot.place + number * slot.chunk, size - kDataHeaderSize}};
  } else {
    *arrival = {staging(next_).subspan(offset_, size), {}};
  }
  offset_ += size;
  return true;
}

}  // namespace grainfabric::transport::udp
