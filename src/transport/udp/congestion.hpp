// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "transport/udp/limits.hpp"
#include "transport/udp/rtt.hpp"

namespace grainfabric::transport::udp {

/// How much may be in flight: CUBIC (RFC 9438), which is what TCP runs on most hosts, so that both
/// share a bottleneck; slow start ends by HyStart++ (RFC 9406) before the queue overflows. Events
/// are RFC 9002's: one reduction for all that was sent before it. Bytes; the clock is the caller's.
class Congestion {
 public:
  Congestion();

  /// Datagrams of this size from now on. Until the first reduction the window is at least the
  /// initial one of that size (RFC 9002 7.2), afterwards only the least.
  void set_datagram(std::size_t size) noexcept;
  void on_sent(std::size_t bytes) noexcept;
  /// `bytes` left the network; the newest of them was sent at `sent`. `was_limited`: this window
  /// (and not the lack of data) kept more from being sent; else it does not grow.
  void on_acked(std::size_t bytes, TimePoint sent, bool was_limited, const Rtt& rtt,
                TimePoint now) noexcept;
  /// A packet that was sent at `sent` is lost.
  void on_lost(TimePoint sent, TimePoint now) noexcept;
  /// A packet that on_lost() was told of arrived after all. Once all of those that led to the last
  /// reduction have, it is taken back (as Linux TCP does with DSACK, in the sense of RFC 4015).
  void on_late(TimePoint sent) noexcept;
  /// Nothing came through for several probe timeouts (persistent congestion, RFC 9002 7.6).
  void collapse() noexcept;

  [[nodiscard]] std::size_t window() const noexcept { return window_; }
  [[nodiscard]] bool in_slow_start() const noexcept { return window_ < threshold_; }

  /// Pacing (RFC 9002 7.7): how many bytes may go now …
  [[nodiscard]] std::size_t allowance(const Rtt& rtt, TimePoint now) noexcept;
  /// … what is worth a wake-up and a system call, half of what may go at once …
  [[nodiscard]] std::size_t quantum(const Rtt& rtt) const noexcept;
  /// … and when that much may go.
  [[nodiscard]] TimePoint ready(const Rtt& rtt) const noexcept;

 private:
  [[nodiscard]] double rate(const Rtt& rtt) const noexcept;  // bytes a second
  [[nodiscard]] double burst(const Rtt& rtt) const noexcept;
  [[nodiscard]] std::size_t minimum() const noexcept { return 2 * datagram_; }
  void slow_start(std::size_t bytes, TimePoint sent, const Rtt& rtt, TimePoint now) noexcept;
  void avoid(std::size_t bytes, const Rtt& rtt, TimePoint now) noexcept;

  std::size_t datagram_ = 0;
  std::size_t window_ = 0;
  std::size_t threshold_ = SIZE_MAX;
  std::optional<TimePoint> reduced_at_;
  int losses_ = 0;  // that led to this reduction and have not arrived since
  struct Before {
    std::size_t window;
    std::size_t threshold;
    double plateau;
  };
  Before before_{};  // the reduction

  // CUBIC, in bytes.
  std::optional<TimePoint> epoch_;  // of the present growth, less the time that was not limited
  std::optional<TimePoint> unlimited_since_;
  double plateau_ = 0;  // W_max
  double epoch_window_ = 0;
  double reno_ = 0;  // W_est

  // HyStart++.
  TimePoint round_end_{};  // a packet sent later begins the next round
  Rtt::Duration round_minimum_ = Rtt::Duration::max();
  Rtt::Duration last_minimum_ = Rtt::Duration::max();
  Rtt::Duration baseline_ = Rtt::Duration::max();
  int round_samples_ = 0;
  int conservative_rounds_ = 0;  // 0: ordinary slow start

  double tokens_ = 0;
  TimePoint filled_at_{};
};

}  // namespace grainfabric::transport::udp
