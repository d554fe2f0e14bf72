// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/timer.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "base/error.hpp"

namespace grainfabric::transport::ofi {

Timer::Timer() : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (!fd_) {
    throw Error::from_errno(errno, "Cannot create a timer",
                            "Raise the limit on open files (ulimit -n).");
  }
}

void Timer::set(std::optional<Clock::time_point> when) noexcept {
  if (when == when_) return;
  when_ = when;
  itimerspec spec{};
  if (when) {
    using std::chrono::nanoseconds;
    // steady_clock counts from the origin of CLOCK_MONOTONIC; zero would disarm.
    const auto count = std::max<std::int64_t>(nanoseconds(when->time_since_epoch()).count(), 1);
    spec.it_value.tv_sec = count / 1'000'000'000;
    spec.it_value.tv_nsec = count % 1'000'000'000;
  }
  ::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

bool Timer::acknowledge() noexcept {
  if (!when_ || Clock::now() < *when_) return false;
  std::uint64_t count = 0;
  if (::read(fd_.get(), &count, sizeof count) < 0) return false;
  when_.reset();
  return true;
}

}  // namespace grainfabric::transport::ofi
