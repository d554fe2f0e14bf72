// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>

#include "base/fd.hpp"

namespace grainfabric::transport::ofi {

/// A descriptor that becomes readable at a point in time, so that an endpoint's deadlines wake
/// whoever sleeps on its descriptors. One thread.
class Timer {
 public:
  using Clock = std::chrono::steady_clock;

  /// Throws Error if there is no descriptor left.
  Timer();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Wakes at `when`; never for nothing. Calls with what is set already cost nothing.
  void set(std::optional<Clock::time_point> when) noexcept;
  /// Whether it woke since; not readable any more then.
  bool acknowledge() noexcept;

 private:
  UniqueFd fd_;
  std::optional<Clock::time_point> when_;
};

}  // namespace grainfabric::transport::ofi
