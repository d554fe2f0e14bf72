// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "session/grain.hpp"

namespace grainfabric {

/// How a payload is cut: `count` slices of `size` bytes, the last with what is left. 1 and 0:
/// whole.
struct SliceCut {
  std::uint32_t count = 1;
  std::uint32_t size = 0;
};
/// As OutgoingGrain says, of a payload of at most kMaxCapacity bytes.
constexpr SliceCut cut_slices(std::size_t payload_size, std::size_t slices, std::size_t unit) {
  slices = std::min(slices, kMaxSlices);
  unit = std::max<std::size_t>(unit, 1);
  if (slices <= 1 || unit >= payload_size) return {};
  const auto divide_up = [](std::size_t a, std::size_t b) { return a / b + (a % b != 0 ? 1 : 0); };
  const std::size_t size = divide_up(divide_up(payload_size, unit), slices) * unit;
  if (size >= payload_size) return {};
  return {static_cast<std::uint32_t>(divide_up(payload_size, size)),
          static_cast<std::uint32_t>(size)};
}

}  // namespace grainfabric
