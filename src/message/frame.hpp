// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/export.hpp"

namespace grainfabric {

/// Frames of the control channel, all integers little-endian:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | magic, the bytes "GFC1" |
/// | 4 | 2 | type of the message; a receiver skips types it does not know |
/// | 6 | 2 | reserved: 0 from this version, ignored by it |
/// | 8 | 4 | length of the body in bytes |
/// | 12 | length | body: a GVariant of type a{sv}, little-endian, in normal form |
struct FrameHeader {
  std::uint16_t type = 0;
  std::uint32_t length = 0;
};

inline constexpr std::array<std::byte, 4> kFrameMagic{std::byte{'G'}, std::byte{'F'},
                                                      std::byte{'C'}, std::byte{'1'}};
inline constexpr std::size_t kFrameHeaderSize = 12;
static_assert(kFrameHeaderSize == kFrameMagic.size() + 2 + 2 + 4);

/// Longest body from a peer that has not said HELLO: it gets no more of our memory than this.
inline constexpr std::uint32_t kMaxBodyBeforeHello = 64U << 10U;
/// Longest body at all: a stream event of kMaxEventBody with room for the fields around it.
inline constexpr std::uint32_t kMaxBody = 9U << 20U;

GRAINFABRIC_API std::array<std::byte, kFrameHeaderSize> encode_frame_header(FrameHeader header);
/// Nothing when the magic is wrong: the peer speaks something else.
GRAINFABRIC_API std::optional<FrameHeader> decode_frame_header(
    std::span<const std::byte, kFrameHeaderSize> bytes);

}  // namespace grainfabric
