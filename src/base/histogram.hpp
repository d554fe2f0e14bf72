// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace grainfabric {

/// Counts durations in buckets of constant relative width (HDR-style): 32 buckets for every power
/// of two, so that a quantile is right to within 3.2 %. Constant size, no allocation. Not locked.
class Histogram {
 public:
  void record(std::uint64_t nanoseconds) noexcept {
    ++counts_[bucket_of(nanoseconds)];
    ++total_;
  }

  /// The smallest duration that `share` (0 to 1) of all recorded ones do not exceed; 0 when empty.
  [[nodiscard]] std::uint64_t quantile(double share) const noexcept {
    if (total_ == 0) return 0;
    const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(total_ - 1)) + 1;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= rank) return upper_bound_of(i);
    }
    return upper_bound_of(counts_.size() - 1);
  }

  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  void clear() noexcept { *this = Histogram(); }

 private:
  static constexpr unsigned kSubBits = 5;
  static constexpr std::uint64_t kSub = 1U << kSubBits;

  static std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value < kSub) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kSubBits - 1;
    return (shift + 1) * kSub + ((value >> shift) - kSub);
  }
  static std::uint64_t upper_bound_of(std::size_t bucket) noexcept {
    if (bucket < kSub) return bucket;
    const unsigned shift = static_cast<unsigned>(bucket / kSub) - 1;
    return (((bucket % kSub) + kSub + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - kSubBits + 1) * kSub> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace grainfabric
