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

}  // namespace

Intake::Intake() : staging_(kReceiveBatch * kSlot) {}

void Intake::prepare(const Inbox::Forecast* forecast) noexcept {
  std::size_t ahead = 0;  // bytes of the forecast that have a slot
  wanted_ = 0;
  while (forecast != nullptr && wanted_ < kReceiveBatch && ahead < forecast->left) {
    const std::size_t size = std::min(forecast->chunk, forecast->left - ahead);
    Slot& slot = slots_[wanted_];
    slot = {{forecast->place + ahead, size}, forecast->next.position + ahead};
    const auto beyond = staging(wanted_).subspan(kDataHeaderSize + size);
    parts_[wanted_] = {iovec{headers_[wanted_].data(), kDataHeaderSize},
                       iovec{slot.place.data(), size}, iovec{beyond.data(), beyond.size()}};
    ++wanted_;
    ahead += size;
  }
  const std::size_t forecasted = wanted_;
  const std::size_t more = forecast == nullptr ? kStagedBatch : 1;
  for (; wanted_ < std::min(forecasted + more, kReceiveBatch); ++wanted_) {
    slots_[wanted_] = {};
    parts_[wanted_][0] = {staging(wanted_).data(), kSlot};
  }
  for (std::size_t i = 0; i < wanted_; ++i) {
    msghdr& header = vector_[i].msg_hdr;
    header = {};
    header.msg_iov = parts_[i].data();
    header.msg_iovlen = i < forecasted ? 3 : 1;
    header.msg_control = controls_[i].bytes.data();
    header.msg_controllen = controls_[i].bytes.size();
  }
}

std::size_t Intake::peek(int socket, std::span<std::byte, kDataHeaderSize> header) noexcept {
  const ssize_t size =
      ::recv(socket, header.data(), header.size(), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

Intake::Outcome Intake::receive(int socket, const Inbox::Forecast* forecast,
                                std::uint64_t connection) noexcept {
  count_ = next_ = offset_ = 0;
  prepare(forecast);
  const int received =
      ::recvmmsg(socket, vector_.data(), static_cast<unsigned>(wanted_), MSG_DONTWAIT, nullptr);
  if (received < 0) {
    error_ = errno;
    if (error_ == EAGAIN || error_ == EINTR) return Outcome::none;
    return error_ == ECONNREFUSED ? Outcome::refused : Outcome::failed;
  }
  count_ = static_cast<std::size_t>(received);
  bool as_forecast = true;
  for (std::size_t i = 0; i < count_; ++i) {
    slots_[i].size = vector_[i].msg_len;
    slots_[i].segment = segment_of(i);
    if (slots_[i].place.empty()) continue;
    as_forecast = as_forecast && is_as_forecast(i, *forecast, connection);
    if (as_forecast) {
      slots_[i].in_place = true;
    } else {
      bring_together(i);
    }
  }
  return Outcome::some;
}

std::size_t Intake::segment_of(std::size_t index) noexcept {
  msghdr& header = vector_[index].msg_hdr;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
    int segment = 0;
    std::memcpy(&segment, CMSG_DATA(control), sizeof segment);
    if (segment > 0) return static_cast<std::size_t>(segment);
  }
  return slots_[index].size;
}

bool Intake::is_as_forecast(std::size_t index, const Inbox::Forecast& forecast,
                            std::uint64_t connection) const noexcept {
  const Slot& slot = slots_[index];
  if (slot.size <= kDataHeaderSize || slot.segment != slot.size) return false;
  Data data;
  const std::size_t payload = slot.size - kDataHeaderSize;
  return payload <= slot.place.size() &&
         parse_data(headers_[index], slot.place.first(payload), &data) &&
         data.connection == connection && data.position == slot.position &&
         data.kind == forecast.next.kind && data.key == forecast.next.key &&
         data.address - forecast.next.address == slot.position - forecast.next.position;
}

void Intake::bring_together(std::size_t index) noexcept {
  const Slot& slot = slots_[index];
  const auto to = staging(index);
  const std::size_t header = std::min(slot.size, kDataHeaderSize);
  std::memcpy(to.data(), headers_[index].data(), header);
  std::memcpy(to.data() + header, slot.place.data(),
              std::min(slot.size - header, slot.place.size()));
}

bool Intake::next(Arrival* arrival) noexcept {
  while (next_ < count_ && offset_ >= slots_[next_].size) {
    ++next_;
    offset_ = 0;
  }
  if (next_ == count_) return false;
  const Slot& slot = slots_[next_];
  if (slot.in_place) {
    *arrival = {headers_[next_], slot.place.first(slot.size - kDataHeaderSize)};
    offset_ = slot.size;
    return true;
  }
  const std::size_t size = std::min(slot.segment, slot.size - offset_);
  *arrival = {staging(next_).subspan(offset_, size), {}};
  offset_ += size;
  return true;
}

}  // namespace grainfabric::transport::udp
