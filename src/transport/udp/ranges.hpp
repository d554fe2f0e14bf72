// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "transport/udp/limits.hpp"

namespace grainfabric::transport::udp {

/// Which numbers of a growing sequence have arrived: a few half-open ranges, the first of which
/// begins at 0. Allocates nothing; the usual case, the next number, takes constant time.
class Ranges {
 public:
  struct Range {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  /// From the lowest (0) to the highest.
  [[nodiscard]] const Range& operator[](std::size_t index) const noexcept { return all_[index]; }
  /// All below has arrived.
  [[nodiscard]] std::uint64_t complete() const noexcept { return all_[0].end; }
  /// Nothing from here on has arrived.
  [[nodiscard]] std::uint64_t highest() const noexcept { return all_[count_ - 1].end; }

  [[nodiscard]] bool contains(std::uint64_t begin, std::uint64_t end) const noexcept {
    const Range* range = first_ending_at_or_after(begin);
    return range != all_.data() + count_ && range->begin <= begin && end <= range->end;
  }

  /// False, and nothing changed, where one more range does not fit.
  bool insert(std::uint64_t begin, std::uint64_t end) noexcept {
    Range& top = all_[count_ - 1];
    if (begin == top.end) {
      top.end = end;
      return true;
    }
    Range* const first = first_ending_at_or_after(begin);
    Range* last = first;  // one beyond those that it touches
    while (last != all_.data() + count_ && last->begin <= end) ++last;
    if (first == last) {
      if (count_ == all_.size()) return false;
      std::move_backward(first, all_.data() + count_, all_.data() + count_ + 1);
      *first = {begin, end};
      ++count_;
      return true;
    }
    *first = {std::min(begin, first->begin), std::max(end, (last - 1)->end)};
    std::move(last, all_.data() + count_, first + 1);
    count_ -= static_cast<std::size_t>(last - first) - 1;
    return true;
  }

  /// Counts the lowest hole as arrived, so that another range fits.
  void forget_lowest_hole() noexcept {
    if (count_ == 1) return;
    forgotten_ = all_[1].begin;
    insert(all_[0].end, forgotten_);
  }
  /// What is in a range and not below has really arrived.
  [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_; }

 private:
  [[nodiscard]] const Range* first_ending_at_or_after(std::uint64_t value) const noexcept {
    return std::lower_bound(
        all_.data(), all_.data() + count_, value,
        [](const Range& range, std::uint64_t number) { return range.end < number; });
  }
  Range* first_ending_at_or_after(std::uint64_t value) noexcept {
    return const_cast<Range*>(std::as_const(*this).first_ending_at_or_after(value));
  }

  std::array<Range, kMaxRanges> all_{};
  std::size_t count_ = 1;
  std::uint64_t forgotten_ = 0;
};

}  // namespace grainfabric::transport::udp
