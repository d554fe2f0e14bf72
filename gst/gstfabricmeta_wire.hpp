// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

/// The records in the metadata part of a grain, one per GstMeta, in the order of the buffer.
///
/// | bytes  | field                                                       |
/// |--------|-------------------------------------------------------------|
/// | 0..1   | type (RecordType)                                           |
/// | 2..3   | version of the body (kRecordVersion)                        |
/// | 4..7   | length of the body, without these eight bytes               |
/// | 8..    | body: one of the structs below, then what its comment names |
///
/// All numbers are little-endian and nothing is padded. A reader skips a record of a type or
/// version that it does not know, and ignores what a body has beyond what it knows: fields are
/// added at the end, and the version changes only when old readers would go wrong.
/// Formats travel by name, for their numbers differ between releases of GStreamer.
namespace fabric::wire {

/// A little-endian number at any address.
template <typename T>
class Le {
 public:
  Le() = default;
  Le(T value) noexcept { *this = value; }  // NOLINT(google-explicit-constructor): reads as T
  Le& operator=(T value) noexcept {
    auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (auto& byte : bytes_) {
      byte = static_cast<std::uint8_t>(bits & 0xFFU);
      if constexpr (sizeof(T) > 1) bits = static_cast<decltype(bits)>(bits >> 8U);
    }
    return *this;
  }
  operator T() const noexcept {  // NOLINT(google-explicit-constructor): reads as T
    std::make_unsigned_t<T> bits = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) {
      if constexpr (sizeof(T) > 1) bits = static_cast<decltype(bits)>(bits << 8U);
      bits = static_cast<decltype(bits)>(bits | bytes_[i]);
    }
    return static_cast<T>(bits);
  }

 private:
  std::array<std::uint8_t, sizeof(T)> bytes_{};
};

using U8 = Le<std::uint8_t>;
using U16 = Le<std::uint16_t>;
using U32 = Le<std::uint32_t>;
using U64 = Le<std::uint64_t>;
using I32 = Le<std::int32_t>;
using I64 = Le<std::int64_t>;
/// A name, filled up with NUL; at least one.
template <std::size_t N>
using Name = std::array<char, N>;

enum class RecordType : std::uint16_t {
  video = 1,
  audio = 2,
  reference_timestamp = 3,
  time_code = 4,
  caption = 5,
  crop = 6,
  afd = 7,
  bar = 8,
  custom = 9,
};
inline constexpr std::uint16_t kRecordVersion = 1;

struct RecordHeader {
  U16 type;
  U16 version;
  U32 length;
};
static_assert(sizeof(RecordHeader) == 8);
static_assert(offsetof(RecordHeader, length) == 4);

/// GstVideoMeta. Planes beyond `planes` are zero.
struct Video {
  Name<32> format;
  U32 flags;
  I32 id;
  U32 width;
  U32 height;
  U32 planes;
  std::array<U64, 4> offset;
  std::array<I32, 4> stride;
  U32 padding_top;
  U32 padding_bottom;
  U32 padding_left;
  U32 padding_right;
  std::array<U32, 4> stride_align;
};
static_assert(sizeof(Video) == 132);
static_assert(offsetof(Video, offset) == 52);
static_assert(offsetof(Video, stride) == 84);
static_assert(offsetof(Video, stride_align) == 116);

/// GstAudioMeta. Then min(channels, 64) positions (I32), then, if planar, `channels` offsets (U64).
struct Audio {
  Name<16> format;
  U32 rate;
  U32 channels;
  U32 planar;
  U32 flags;
  U64 samples;
};
static_assert(sizeof(Audio) == 40);
static_assert(offsetof(Audio, samples) == 32);
/// More than any caps negotiated in practice, and few enough for GStreamer's quadratic check.
inline constexpr std::uint32_t kMaxAudioChannels = 512;

/// GstReferenceTimestampMeta. Then `caps_length` bytes of caps (gstfabricvalue.hpp).
struct ReferenceTimestamp {
  U64 timestamp;
  U64 duration;
  U32 caps_length;
};
static_assert(sizeof(ReferenceTimestamp) == 20);

/// GstVideoTimeCodeMeta. The jam is in microseconds since 1970 with the seconds east of UTC.
struct TimeCode {
  U32 fps_n;
  U32 fps_d;
  U32 flags;
  U32 hours;
  U32 minutes;
  U32 seconds;
  U32 frames;
  U32 field_count;
  U32 has_daily_jam;
  I32 daily_jam_zone;
  I64 daily_jam;
};
static_assert(sizeof(TimeCode) == 48);
static_assert(offsetof(TimeCode, daily_jam) == 40);

/// GstVideoCaptionMeta. Then `size` bytes.
struct Caption {
  U32 type;
  U32 size;
};
static_assert(sizeof(Caption) == 8);

/// GstVideoCropMeta.
struct Crop {
  U32 x;
  U32 y;
  U32 width;
  U32 height;
};
static_assert(sizeof(Crop) == 16);

/// GstVideoAFDMeta.
struct Afd {
  U32 field;
  U32 spec;
  U32 afd;
};
static_assert(sizeof(Afd) == 12);

/// GstVideoBarMeta.
struct Bar {
  U32 field;
  U32 is_letterbox;
  U32 bar_data1;
  U32 bar_data2;
};
static_assert(sizeof(Bar) == 16);

/// GstCustomMeta. Then the name, then for each tag its length (U16) and text, then
/// `structure_length` bytes of structure (gstfabricvalue.hpp). No text has a NUL.
struct Custom {
  U16 name_length;
  U16 tag_count;
  U32 structure_length;
};
static_assert(sizeof(Custom) == 8);
inline constexpr std::size_t kMaxCustomName = 255;
inline constexpr std::size_t kMaxCustomTags = 32;

}  // namespace fabric::wire
