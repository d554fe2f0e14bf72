// SPDX-License-Identifier: Apache-2.0
#include "message/frame.hpp"

#include <algorithm>

namespace grainfabric {
namespace {

std::byte byte_of(std::uint32_t value, unsigned index) {
  return static_cast<std::byte>(value >> (8 * index) & 0xFFU);
}

}  // namespace

std::array<std::byte, kFrameHeaderSize> encode_frame_header(FrameHeader header) {
  std::array<std::byte, kFrameHeaderSize> bytes{};
  std::copy(kFrameMagic.begin(), kFrameMagic.end(), bytes.begin());
  for (unsigned i = 0; i < 2; ++i) bytes[4 + i] = byte_of(header.type, i);
  for (unsigned i = 0; i < 4; ++i) bytes[8 + i] = byte_of(header.length, i);
  return bytes;
}

std::optional<FrameHeader> decode_frame_header(std::span<const std::byte, kFrameHeaderSize> bytes) {
  if (!std::equal(kFrameMagic.begin(), kFrameMagic.end(), bytes.begin())) return std::nullopt;
  const auto value = [&](std::size_t offset, unsigned size) {
    std::uint32_t result = 0;
    for (unsigned i = 0; i < size; ++i) {
      result |= std::to_integer<std::uint32_t>(bytes[offset + i]) << (8 * i);
    }
    return result;
  };
  return FrameHeader{static_cast<std::uint16_t>(value(4, 2)), value(8, 4)};
}

}  // namespace grainfabric
