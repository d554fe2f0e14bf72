// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/send_batch.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace grainfabric::transport::udp {

SendBatch::SendBatch()
    : headers_(kHeaderBytes), parts_(kMaxParts + kPartReserve), numbers_(kMaxDatagrams) {}

void SendBatch::begin(bool segmenting, std::size_t most) noexcept {
  message_count_ = datagrams_ = part_count_ = header_bytes_ = 0;
  segmenting_ = segmenting;
  most_ = std::min(most, kMaxDatagrams);
}

bool SendBatch::has_room() const noexcept {
  const bool fits = message_count_ < kSendBatch ||
                    (message_count_ == kSendBatch && is_open(messages_[message_count_ - 1]));
  return fits && datagrams_ < most_ && part_count_ < kMaxParts &&
         header_bytes_ + kHeaderReserve <= kHeaderBytes;
}

bool SendBatch::joins(std::size_t size, std::size_t parts) const noexcept {
  if (message_count_ == 0) return false;
  const Message& open = messages_[message_count_ - 1];
  return is_open(open) && size <= open.segment && open.part_count + parts <= 1024;  // UIO_MAXIOV
}

std::span<std::byte> SendBatch::add(std::size_t header_size, std::span<const iovec> payload,
                                    std::size_t payload_size, std::uint64_t number) noexcept {
  const std::size_t size = header_size + payload_size;
  if (!joins(size, payload.size() + 1)) {
    messages_[message_count_++] = {part_count_, 0, 0, size, 0, false};
  }
  Message& message = messages_[message_count_ - 1];
  const std::span<std::byte> header(headers_.data() + header_bytes_, header_size);
  header_bytes_ += header_size;
  parts_[part_count_++] = {header.data(), header.size()};
  for (const iovec& part : payload) parts_[part_count_++] = part;
  numbers_[datagrams_++] = number;
  message.part_count += payload.size() + 1;
  message.size += size;
  ++message.datagrams;
  message.is_full = size < message.segment;  // only the last of a message may be shorter
  return header;
}

SendBatch::Result SendBatch::send(int socket) noexcept {
  for (std::size_t i = 0; i < message_count_; ++i) {
    const Message& message = messages_[i];
    msghdr& header = vector_[i].msg_hdr;
    header = {};
    header.msg_iov = parts_.data() + message.first_part;
    header.msg_iovlen = message.part_count;
    if (message.datagrams == 1) continue;
    header.msg_control = controls_[i].bytes.data();
    header.msg_controllen = controls_[i].bytes.size();
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto segment = static_cast<std::uint16_t>(message.segment);
    std::memcpy(CMSG_DATA(control), &segment, sizeof segment);
  }
  Result result;
  std::size_t done = 0;
  bool tried_again = false;
  while (done < message_count_) {
    const int sent = ::sendmmsg(socket, vector_.data() + done,
                                static_cast<unsigned>(message_count_ - done), MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      // It may be of an ICMP message that came before; only a second one is of this datagram.
      if (errno == EMSGSIZE && !std::exchange(tried_again, true)) continue;
      result.error = errno;
      break;
    }
    for (int i = 0; i < sent; ++i) result.sent += messages_[done++].datagrams;
  }
  return result;
}

}  // namespace grainfabric::transport::udp
