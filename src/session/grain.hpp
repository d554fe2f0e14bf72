// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "memory/slot.hpp"

namespace grainfabric {

/// A time or number that a grain does not have.
inline constexpr std::uint64_t kNone = UINT64_MAX;

/// What the engine carries with every grain beside its payload and its opaque metadata. Times in
/// nanoseconds; kNone where absent.
struct GrainInfo {
  std::uint64_t sequence = 0;  ///< Given by the engine: 1, 2, … over the life of an initiator.
  std::uint64_t pts = kNone;   ///< In the stream's own segment, like all media times here.
  std::uint64_t dts = kNone;
  std::uint64_t duration = kNone;
  std::uint64_t offset = kNone;
  std::uint64_t offset_end = kNone;
  std::uint64_t tai = kNone;       ///< When the grain is to be shown or was taken, absolute TAI.
  std::uint64_t sent_tai = kNone;  ///< When the initiator's push() accepted it; set by the engine.
  std::uint32_t flags = 0;         ///< Opaque to the engine: GstBufferFlags.
};

/// Header of a grain on the wire and in the slot, ending where the payload begins (slot.hpp).
/// Little-endian.
struct GrainHeader {
  std::uint32_t magic;           // 0    kGrainMagic
  std::uint16_t version;         // 4    kGrainVersion
  std::uint16_t header_size;     // 6    128; a later version may be longer, to the front
  std::uint64_t epoch;           // 8    of the ring it was meant for
  std::uint64_t sequence;        // 16
  std::uint64_t events_before;   // 24   stream events of this session that come before the grain
  std::uint64_t payload_size;    // 32   bytes
  std::uint32_t metadata_size;   // 40   bytes
  std::uint32_t metadata_place;  // 44   MetadataPlace
  std::uint64_t pts;             // 48
  std::uint64_t dts;             // 56
  std::uint64_t duration;        // 64
  std::uint64_t offset;          // 72
  std::uint64_t offset_end;      // 80
  std::uint64_t tai;             // 88
  std::uint64_t sent_tai;        // 96
  std::uint32_t flags;           // 104
  std::uint32_t total_slices;    // 108  1: a whole grain
  std::uint32_t shared;          // 112  number of the payload's memory, where it is shared; or 0
  std::uint32_t slice_size;      // 116  payload bytes, the last may have less; 0: a whole grain
  std::uint64_t shared_offset;   // 120  of the payload there
};

enum class MetadataPlace : std::uint32_t {
  before_header = 0,  ///< In the slot's header space, padded to 8 bytes.
  after_payload = 1,  ///< It does not fit there: directly behind the payload.
};

inline constexpr std::uint32_t kGrainMagic = 0x52474647;  // "GFGR"
inline constexpr std::uint16_t kGrainVersion = 1;
/// Metadata up to this many bytes travels in the header space.
inline constexpr std::size_t kMaxHeaderMetadata = kGrainHeaderSpace - sizeof(GrainHeader);
/// No grain has more metadata than this.
inline constexpr std::size_t kMaxMetadata = std::size_t{1} << 20U;
/// No slot is larger than this: an 8K RGBA64 picture is a quarter of it.
inline constexpr std::size_t kMaxCapacity = std::size_t{1} << 30U;
inline constexpr std::size_t kMinSlots = 2;
inline constexpr std::size_t kMaxSlots = 1024;

/// A slice for every line of the largest picture that MXL knows.
inline constexpr std::size_t kMaxSlices = 4320;

constexpr std::size_t pad8(std::size_t size) {
  return (size + 7) & ~std::size_t{7};
}

static_assert(std::endian::native == std::endian::little,
              "grain headers are written in place, as the peer reads them");
static_assert(sizeof(GrainHeader) == 128 && std::is_trivially_copyable_v<GrainHeader>);
static_assert(offsetof(GrainHeader, epoch) == 8 && offsetof(GrainHeader, payload_size) == 32);
static_assert(offsetof(GrainHeader, pts) == 48 && offsetof(GrainHeader, flags) == 104);
static_assert(offsetof(GrainHeader, shared) == 112 && offsetof(GrainHeader, slice_size) == 116);

}  // namespace grainfabric
