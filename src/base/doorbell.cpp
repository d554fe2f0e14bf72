// SPDX-License-Identifier: Apache-2.0
#include "base/doorbell.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace grainfabric {
namespace {

// Not the private ones: the word may be another process's, too.
long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* deadline) noexcept {
  static_assert(sizeof word == sizeof(std::uint32_t));
  return ::syscall(SYS_futex, &word, operation, value, deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
}

}  // namespace

void Doorbell::sleep(std::chrono::steady_clock::time_point deadline) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const auto at = std::chrono::nanoseconds(deadline.time_since_epoch()).count();
  const timespec when{at / kSecond, at % kSecond};  // of CLOCK_MONOTONIC
  while (word_.load(std::memory_order_seq_cst) == kAsleep) {
    futex(word_, FUTEX_WAIT_BITSET, kAsleep, &when);
    if (std::chrono::steady_clock::now() < deadline) continue;
    std::uint32_t asleep = kAsleep;
    word_.compare_exchange_strong(asleep, 0);
  }
}

void Doorbell::ring() noexcept {
  std::uint32_t asleep = kAsleep;
  if (word_.load(std::memory_order_seq_cst) == kAsleep &&
      word_.compare_exchange_strong(asleep, 0)) {
    wake(word_);
  }
}

void Doorbell::wake(std::atomic<std::uint32_t>& word) noexcept {
  futex(word, FUTEX_WAKE_BITSET, 1, nullptr);
}

}  // namespace grainfabric
