// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "transport/udp/limits.hpp"

namespace grainfabric::transport::udp {

/// How large a datagram the path takes, found by probes of padding (DPLPMTUD, RFC 8899): the size
/// that the local interface allows is tried first, since it usually passes, then what lies between
/// by halves. What fails kMaxProbes times does not pass.
class PathSize {
 public:
  /// `largest`: what the local interface allows.
  explicit PathSize(std::size_t largest) noexcept
      : largest_(std::clamp(largest, kBaseDatagram, kMaxDatagram)), ceiling_(largest_) {}

  /// What may be sent now.
  [[nodiscard]] std::size_t datagram() const noexcept { return passes_; }

  [[nodiscard]] bool wants_probe(TimePoint now) const noexcept {
    return !under_way_ && (is_complete() ? passes_ < largest_ && now >= search_again_ : true);
  }
  /// The size of a probe to send now, where wants_probe(); it is under way then.
  std::size_t next_probe() noexcept {
    if (is_complete()) ceiling_ = largest_;
    under_way_ = true;
    probed_ = ceiling_ != largest_ ? (passes_ + ceiling_ + 1) / 2 : ceiling_;
    return probed_;
  }
  void on_probe_passed(TimePoint now) noexcept {
    under_way_ = false;
    failures_ = 0;
    passes_ = std::max(passes_, probed_);
    if (is_complete()) search_again_ = now + kRaise;
  }
  void on_probe_lost(TimePoint now) noexcept {
    under_way_ = false;
    if (++failures_ < kMaxProbes) return;
    failures_ = 0;
    ceiling_ = std::max(passes_, probed_ - 1);
    if (is_complete()) search_again_ = now + kRaise;
  }
  /// Nothing of the present size comes through any more (RFC 8899 4.3).
  void on_black_hole(TimePoint now) noexcept {
    if (passes_ == kBaseDatagram) return;
    ceiling_ = passes_ - 1;
    passes_ = kBaseDatagram;
    failures_ = 0;
    search_again_ = now + kRaise;
  }

 private:
  /// RFC 8899 5.1.1 and 5.1.2. Its PMTU_RAISE_TIMER is 600 s.
  static constexpr int kMaxProbes = 3;
  static constexpr auto kRaise = 600s;
  /// A search ends when less than this is to be gained.
  static constexpr std::size_t kStep = 32;

  [[nodiscard]] bool is_complete() const noexcept {
    return passes_ >= largest_ || passes_ + kStep > ceiling_;
  }

  std::size_t largest_;
  std::size_t ceiling_;
  std::size_t passes_ = kBaseDatagram;
  std::size_t probed_ = 0;
  int failures_ = 0;
  bool under_way_ = false;
  TimePoint search_again_{};  // where the search is complete below the largest
};

}  // namespace grainfabric::transport::udp
