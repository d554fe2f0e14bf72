// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "transport/udp/limits.hpp"

namespace grainfabric::transport::udp {

/// Datagrams on their way to one sendmmsg: headers built here, payload gathered from where it lies.
/// Those of one size share a message where the kernel can cut it (UDP_SEGMENT, "GSO"): one walk
/// through the network stack for up to 64 KB. Shared by the endpoints of a Domain, one at a time.
class SendBatch {
 public:
  SendBatch();

  static constexpr std::uint64_t kNoNumber = UINT64_MAX;
  static constexpr std::size_t kMaxDatagrams = (kSendBatch + 1) * kMaxSegments;

  /// Begins anew; `segmenting`: the socket takes UDP_SEGMENT; `most`: datagrams.
  void begin(bool segmenting, std::size_t most = kMaxDatagrams) noexcept;
  /// Whether any datagram still fits.
  [[nodiscard]] bool has_room() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return datagrams_ == 0; }
  /// Adds a datagram; the caller fills the returned header. `number`: its packet number, told again
  /// if it cannot be sent.
  std::span<std::byte> add(std::size_t header_size, std::span<const iovec> payload,
                           std::size_t payload_size, std::uint64_t number) noexcept;

  struct Result {
    std::size_t sent = 0;  ///< Datagrams; numbers() from there on were not.
    int error = 0;         ///< errno of the first that was not.
  };
  Result send(int socket) noexcept;
  [[nodiscard]] std::span<const std::uint64_t> numbers() const noexcept {
    return {numbers_.data(), datagrams_};
  }

 private:
  struct Message {
    std::size_t first_part = 0;
    std::size_t part_count = 0;
    std::size_t size = 0;
    std::size_t segment = 0;
    std::size_t datagrams = 0;
    bool is_full = false;
  };
  /// One beyond the batch, where the last is still open but the next datagram does not join it.
  static constexpr std::size_t kMaxMessages = kSendBatch + 1;
  static_assert(kMaxDatagrams == kMaxMessages * kMaxSegments);
  static constexpr std::size_t kPartsPerDatagram = 4;
  static constexpr std::size_t kMaxParts = kPartsPerDatagram * kMaxDatagrams;
  /// Most of one datagram: header and Chunk::kMaxParts.
  static constexpr std::size_t kPartReserve = 13;
  static constexpr std::size_t kHeaderReserve = 2048;
  static constexpr std::size_t kHeaderBytes = 64 * kMaxDatagrams + kHeaderReserve;

  [[nodiscard]] bool joins(std::size_t size, std::size_t parts) const noexcept;
  std::vector<std::byte> headers_;
  std::vector<iovec> parts_;
  std::vector<std::uint64_t> numbers_;
  [[nodiscard]] bool is_open(const Message& message) const noexcept {
    return segmenting_ && !message.is_full && message.datagrams < kMaxSegments &&
           message.size + message.segment <= kMaxDatagram;
  }

  std::array<Message, kMaxMessages> messages_;
  std::array<mmsghdr, kMaxMessages> vector_{};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))> bytes;
  };
  std::array<Control, kMaxMessages> controls_{};
  std::size_t message_count_ = 0;
  std::size_t datagrams_ = 0;
  std::size_t most_ = kMaxDatagrams;
  std::size_t part_count_ = 0;
  std::size_t header_bytes_ = 0;
  bool segmenting_ = false;
};

}  // namespace grainfabric::transport::udp
