// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/congestion.hpp"

#include <algorithm>
#include <cmath>

namespace grainfabric::transport::udp {
namespace {

// RFC 9438 4.1, 4.6.
constexpr double kC = 0.4;
constexpr double kBeta = 0.7;
constexpr double kRenoGrowth = 3 * (1 - kBeta) / (1 + kBeta);

// RFC 9406 4.3.
constexpr Rtt::Duration kLeastThreshold = 4ms;
constexpr Rtt::Duration kMostThreshold = 16ms;
constexpr int kRoundSamples = 8;
constexpr std::size_t kConservativeDivisor = 4;
constexpr int kConservativeRounds = 5;

/// RFC 9002 7.2.
constexpr std::size_t kInitialBytes = 14'720;
constexpr std::size_t kInitialDatagrams = 10;

/// RFC 9002 7.7 has 1.25 so that the window can be used up in spite of timers; Linux TCP has 2 in
/// slow start, since the window doubles meanwhile.
constexpr double kPacingGain = 1.25;
constexpr double kSlowStartGain = 2;
/// What may go at once: timers are coarse and GSO wants many datagrams; Linux TCP has 1 ms too.
constexpr double kBurstSeconds = 0.001;

double seconds(Rtt::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Congestion::Congestion() {
  set_datagram(kBaseDatagram);
}

void Congestion::set_datagram(std::size_t size) noexcept {
  const bool is_least = window_ <= minimum();
  datagram_ = size;
  if (is_least || window_ < minimum()) window_ = minimum();
  if (threshold_ != SIZE_MAX) return;  // the initial window would undo a reduction
  const std::size_t initial = std::min(kInitialDatagrams * size, std::max(kInitialBytes, 2 * size));
  window_ = std::max(window_, initial);
}

void Congestion::on_sent(std::size_t bytes) noexcept {
  tokens_ -= static_cast<double>(bytes);
}

void Congestion::on_acked(std::size_t bytes, TimePoint sent, bool was_limited, const Rtt& rtt,
                          TimePoint now) noexcept {
  if (reduced_at_ && sent <= *reduced_at_) return;  // still recovering
  if (!was_limited) {
    if (!unlimited_since_) unlimited_since_ = now;
    return;
  }
  // RFC 9438 5.8: else the window would jump when there is enough to send again.
  if (epoch_ && unlimited_since_) *epoch_ += now - *unlimited_since_;
  unlimited_since_.reset();
  if (in_slow_start()) {
    slow_start(bytes, sent, rtt, now);
  } else {
    avoid(bytes, rtt, now);
  }
  window_ = std::min(window_, kMaxWindow);
}

void Congestion::slow_start(std::size_t bytes, TimePoint sent, const Rtt& rtt,
                            TimePoint now) noexcept {
  if (sent >= round_end_) {
    last_minimum_ = round_minimum_;
    round_minimum_ = Rtt::Duration::max();
    round_samples_ = 0;
    round_end_ = now;
    if (conservative_rounds_ > 0 && ++conservative_rounds_ > kConservativeRounds) {
      threshold_ = window_;
      return;
    }
  }
  round_minimum_ = std::min(round_minimum_, rtt.latest());
  ++round_samples_;
  if (round_samples_ >= kRoundSamples && last_minimum_ != Rtt::Duration::max()) {
    if (conservative_rounds_ > 0) {
      if (round_minimum_ < baseline_) conservative_rounds_ = 0;  // it was no queue
    } else if (round_minimum_ >=
               last_minimum_ + std::clamp(last_minimum_ / 8, kLeastThreshold, kMostThreshold)) {
      baseline_ = round_minimum_;
      conservative_rounds_ = 1;
    }
  }
  window_ += conservative_rounds_ > 0 ? bytes / kConservativeDivisor : bytes;
}

void Congestion::avoid(std::size_t bytes, const Rtt& rtt, TimePoint now) noexcept {
  const auto window = static_cast<double>(window_);
  const auto unit = static_cast<double>(datagram_);
  if (!epoch_) {
    epoch_ = now;
    plateau_ = std::max(plateau_, window);
    epoch_window_ = window;
    reno_ = window;
  }
  const double k = std::cbrt((plateau_ - epoch_window_) / unit / kC);
  const double t = seconds(now - *epoch_) + seconds(rtt.smoothed());
  const double cubic = plateau_ + kC * std::pow(t - k, 3) * unit;
  const double acked = static_cast<double>(bytes) / window;
  reno_ += (reno_ >= plateau_ ? 1 : kRenoGrowth) * acked * unit;
  double next = window + (std::clamp(cubic, window, 1.5 * window) - window) * acked;
  if (cubic < reno_) next = std::max(next, reno_);
  window_ = static_cast<std::size_t>(next);
}

void Congestion::on_lost(TimePoint sent, TimePoint now) noexcept {
  ++losses_;
  if (reduced_at_ && sent <= *reduced_at_) return;
  reduced_at_ = now;
  losses_ = 1;
  before_ = {window_, threshold_, plateau_};
  epoch_.reset();
  const auto window = static_cast<double>(window_);
  // Fast convergence (RFC 9438 4.7): leaves room to those who came later.
  plateau_ = window < plateau_ ? window * (1 + kBeta) / 2 : window;
  window_ = std::max(static_cast<std::size_t>(window * kBeta), minimum());
  threshold_ = window_;
}

void Congestion::on_late(TimePoint sent) noexcept {
  if (!reduced_at_ || sent > *reduced_at_ || --losses_ > 0 || before_.window <= window_) return;
  window_ = before_.window;
  threshold_ = before_.threshold;
  plateau_ = before_.plateau;
  epoch_.reset();
}

void Congestion::collapse() noexcept {
  threshold_ = std::max(static_cast<std::size_t>(static_cast<double>(window_) * kBeta), minimum());
  window_ = minimum();
  epoch_.reset();
  conservative_rounds_ = 0;
}

double Congestion::rate(const Rtt& rtt) const noexcept {
  return (in_slow_start() ? kSlowStartGain : kPacingGain) * static_cast<double>(window_) /
         seconds(rtt.smoothed());
}

double Congestion::burst(const Rtt& rtt) const noexcept {
  return std::max(static_cast<double>(kInitialDatagrams * datagram_), rate(rtt) * kBurstSeconds);
}

std::size_t Congestion::allowance(const Rtt& rtt, TimePoint now) noexcept {
  if (filled_at_ == TimePoint{}) {
    tokens_ = burst(rtt);
  } else {
    tokens_ = std::min(burst(rtt), tokens_ + rate(rtt) * seconds(now - filled_at_));
  }
  filled_at_ = now;
  return tokens_ > 0 ? static_cast<std::size_t>(tokens_) : 0;
}

std::size_t Congestion::quantum(const Rtt& rtt) const noexcept {
  return static_cast<std::size_t>(burst(rtt) / 2);
}

TimePoint Congestion::ready(const Rtt& rtt) const noexcept {
  const double wait = (burst(rtt) / 2 - tokens_) / rate(rtt);
  return filled_at_ +
         std::chrono::ceil<Rtt::Duration>(std::chrono::duration<double>(std::max(wait, 0.0)));
}

}  // namespace grainfabric::transport::udp
