// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "transport/udp/limits.hpp"

namespace grainfabric::transport::udp {

/// Round trip time as RFC 9002 section 5 estimates it (RFC 6298's filter, with the peer's delay
/// taken out), and the two waits that follow from it.
class Rtt {
 public:
  using Duration = Clock::duration;

  void sample(Duration latest, Duration ack_delay) noexcept {
    latest = std::max<Duration>(latest, 1us);
    latest_ = latest;
    if (smoothed_ == Duration::zero()) {
      minimum_ = smoothed_ = latest;
      variation_ = latest / 2;
      return;
    }
    minimum_ = std::min(minimum_, latest);
    Duration adjusted = latest;
    ack_delay = std::min<Duration>(ack_delay, kMaxAckDelay);
    if (latest >= minimum_ + ack_delay) adjusted = latest - ack_delay;
    const Duration off = smoothed_ > adjusted ? smoothed_ - adjusted : adjusted - smoothed_;
    variation_ = (3 * variation_ + off) / 4;
    smoothed_ = (7 * smoothed_ + adjusted) / 8;
  }

  [[nodiscard]] Duration latest() const noexcept { return latest_; }
  [[nodiscard]] Duration minimum() const noexcept { return minimum_; }
  /// What is assumed before the first sample: RFC 9002's 333 ms would stall a short first flight
  /// on a local network, RFC 6298 asks for 1 s; the handshake has measured one already here.
  [[nodiscard]] Duration smoothed() const noexcept {
    return smoothed_ == Duration::zero() ? Duration(100ms) : smoothed_;
  }
  /// A packet sent this long before one that arrived is lost: 9/8 of a round trip (section 6.1.2).
  [[nodiscard]] Duration loss_delay() const noexcept {
    return std::max<Duration>(std::max(latest_, smoothed()) * 9 / 8, kGranularity);
  }
  /// After this long without an ACK the peer is probed (section 6.2.1), before back-off.
  [[nodiscard]] Duration probe_timeout() const noexcept {
    const Duration spread = smoothed_ == Duration::zero() ? smoothed() / 2 : variation_;
    return smoothed() + std::max<Duration>(4 * spread, kGranularity) + kMaxAckDelay;
  }

 private:
  /// Of timers. RFC 9002 6.1.2 recommends 1 ms; a timerfd comes within 50 us.
  static constexpr Duration kGranularity = 200us;

  Duration latest_{};
  Duration minimum_{};
  Duration smoothed_{};
  Duration variation_{};
};

}  // namespace grainfabric::transport::udp
