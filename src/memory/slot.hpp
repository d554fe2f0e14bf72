// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace grainfabric {

/// A slot of a ring, in memory and in an MXL flow file alike:
///
/// | offset | size | what |
/// |---|---|---|
/// | 0 | 4096 | MXL grain info (zero unless the ring is an MXL flow) |
/// | 4096 | 4096 | our grain header, right-aligned: metadata, then GrainHeader, up to the payload |
/// | 8192 | capacity | payload, page aligned |
///
/// Right-aligned, so that the used part of the header and the payload are contiguous at the target
/// and travel in one write.
inline constexpr std::size_t kPageSize = 4096;
inline constexpr std::size_t kMxlGrainInfoSize = 4096;
inline constexpr std::size_t kGrainHeaderSpace = 4096;
inline constexpr std::size_t kSlotHeaderSize = kMxlGrainInfoSize + kGrainHeaderSpace;

constexpr std::size_t page_align(std::size_t size) {
  return (size + kPageSize - 1) & ~(kPageSize - 1);
}

/// Distance from one slot to the next for payloads of up to `capacity` bytes.
constexpr std::size_t slot_stride(std::size_t capacity) {
  return kSlotHeaderSize + page_align(capacity);
}

static_assert(kSlotHeaderSize % kPageSize == 0);
static_assert(slot_stride(0) == 8192 && slot_stride(1) == 12288);

}  // namespace grainfabric
