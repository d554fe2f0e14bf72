// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace play {

/// 64 bits that differ when the bytes differ, for all practical purposes; not for cryptography.
/// Multiply-and-rotate over four independent lanes, since one lane would wait for its own
/// multiplication: several GB/s, where the fastest of GChecksum's sums does half of one.
inline std::uint64_t checksum(std::span<const std::byte> bytes) {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio: bits well spread
  constexpr std::size_t kLanes = 4;
  constexpr std::size_t kBlock = kLanes * sizeof(std::uint64_t);
  const auto mix = [](std::uint64_t sum, std::uint64_t word) {
    return std::rotl((sum ^ word) * kOdd, 29);
  };
  std::uint64_t lanes[kLanes] = {1, 2, 3, 4};
  std::uint64_t words[kLanes];
  const std::uint64_t size = bytes.size();
  for (; bytes.size() >= kBlock; bytes = bytes.subspan(kBlock)) {
    std::memcpy(words, bytes.data(), kBlock);
    for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = mix(lanes[i], words[i]);
  }
  std::memset(words, 0, kBlock);
  if (!bytes.empty()) std::memcpy(words, bytes.data(), bytes.size());
  std::uint64_t sum = size;
  for (std::size_t i = 0; i < kLanes; ++i) sum = mix(mix(sum, lanes[i]), words[i]);
  return sum;
}

}  // namespace play
