// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstdint>

namespace grainfabric::tool {

/// CPU time of this process from its making on, without what was excluded: filling and comparing
/// memory is the benchmark's own work, none of the transport's.
class CpuClock {
 public:
  [[nodiscard]] std::uint64_t nanoseconds() const noexcept {
    return now(CLOCK_PROCESS_CPUTIME_ID) - begun_ - excluded_;
  }

  /// Runs `work` on this thread and leaves it out.
  template <typename Work>
  auto without(Work work) noexcept {
    const Exclusion exclusion(excluded_);
    return work();
  }

 private:
  static std::uint64_t now(clockid_t clock) noexcept {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(time.tv_nsec);
  }

  class Exclusion {
   public:
    explicit Exclusion(std::uint64_t& sum) noexcept : sum_(sum) {}
    Exclusion(const Exclusion&) = delete;
    Exclusion& operator=(const Exclusion&) = delete;
    ~Exclusion() { sum_ += now(CLOCK_THREAD_CPUTIME_ID) - begun_; }

   private:
    std::uint64_t& sum_;
    std::uint64_t begun_ = now(CLOCK_THREAD_CPUTIME_ID);
  };

  std::uint64_t begun_ = now(CLOCK_PROCESS_CPUTIME_ID);
  std::uint64_t excluded_ = 0;
};

}  // namespace grainfabric::tool
