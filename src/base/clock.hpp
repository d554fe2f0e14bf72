// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstdint>

namespace grainfabric {

/// Nanoseconds since the TAI epoch (CLOCK_TAI): SMPTE 2059 time where the host's TAI offset is set,
/// UTC where it is not (Linux starts with an offset of 0).
inline std::uint64_t tai_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_TAI, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace grainfabric
