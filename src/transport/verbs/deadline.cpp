// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/deadline.hpp"

#include <sys/timerfd.h>

#include <cerrno>

#include "base/error.hpp"

namespace grainfabric::transport::verbs {

Deadline::Deadline() : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) {
  if (!fd_) {
    throw Error::from_errno(errno, "Cannot create a timer",
                            "Raise the limit on open files (ulimit -n).");
  }
}

void Deadline::set(std::chrono::milliseconds from_now) noexcept {
  using Clock = std::chrono::steady_clock;
  when_ = from_now.count() == 0 ? Clock::time_point::max() : Clock::now() + from_now;
  itimerspec spec{};  // zero disarms, and makes it unreadable
  spec.it_value.tv_sec = from_now.count() / 1000;
  spec.it_value.tv_nsec = from_now.count() % 1000 * 1'000'000;
  ::timerfd_settime(fd_.get(), 0, &spec, nullptr);
}

bool Deadline::is_over() const noexcept {
  return std::chrono::steady_clock::now() >= when_;
}

}  // namespace grainfabric::transport::verbs
