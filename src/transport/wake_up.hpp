// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace grainfabric::transport {

/// The one descriptor that wakes an endpoint for all its deadlines. Where these move often, mostly
/// further away (udp: with almost every datagram), the kernel is only told where one comes earlier
/// than it knows, and a wake-up that comes too early is asked again. One thread.
class WakeUp {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  WakeUp() : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    if (!fd_) {
      throw Error::from_errno(errno, "Cannot create a timer",
                              "Raise the limit on open files (ulimit -n).");
    }
  }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// Wakes at `when` or earlier.
  void no_later_than(TimePoint when) noexcept {
    if (set_ && *set_ <= when) return;
    set_ = when;
    const auto nanoseconds = std::chrono::nanoseconds(when.time_since_epoch()).count();
    constexpr std::int64_t kSecond = 1'000'000'000;
    itimerspec spec{};  // zero would disarm it
    spec.it_value = {nanoseconds / kSecond, nanoseconds % kSecond};
    if (nanoseconds <= 0) spec.it_value.tv_nsec = 1;
    ::timerfd_settime(fd(), TFD_TIMER_ABSTIME, &spec, nullptr);
  }
  /// Not readable any more, if it has woken anybody.
  void clear(TimePoint now) noexcept {
    if (!set_ || now < *set_) return;
    std::uint64_t count = 0;
    if (::read(fd(), &count, sizeof count) > 0) set_.reset();
  }

 private:
  UniqueFd fd_;
  std::optional<TimePoint> set_;
};

}  // namespace grainfabric::transport
