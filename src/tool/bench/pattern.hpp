// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace grainfabric::tool {

/// Bytes that both sides can make for themselves: different for each seed, message and position, so
/// that a lost, stale, torn or misplaced piece is found.
class Pattern {
 public:
  Pattern(std::uint64_t seed, std::uint64_t message) noexcept
      : first_(mix(seed ^ mix(message + 1))) {}

  void fill(std::span<std::byte> bytes) const noexcept {
    for_each_word(bytes, [](std::byte* at, const std::uint64_t& word, std::size_t size) {
      std::memcpy(at, &word, size);
      return true;
    });
  }
  [[nodiscard]] bool matches(std::span<const std::byte> bytes) const noexcept {
    return for_each_word(bytes, [](const std::byte* at, const std::uint64_t& word,
                                   std::size_t size) { return std::memcmp(at, &word, size) == 0; });
  }

 private:
  /// The finalizer of splitmix64.
  static constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
  }

  /// False as soon as `visit` says so.
  template <typename Byte, typename Visit>
  bool for_each_word(std::span<Byte> bytes, Visit visit) const noexcept {
    std::uint64_t state = first_;
    std::size_t at = 0;
    for (; at + sizeof state <= bytes.size(); at += sizeof state) {
      state += kStep;
      if (!visit(&bytes[at], mix(state), sizeof state)) return false;
    }
    const std::size_t rest = bytes.size() - at;
    return rest == 0 || visit(&bytes[at], mix(state + kStep), rest);
  }

  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15U;
  std::uint64_t first_;
};

}  // namespace grainfabric::tool
