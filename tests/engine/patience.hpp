// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

// GCC defines a macro of its own for each sanitizer, Clang has to be asked.
#ifdef __has_feature
#define GRAINFABRIC_SANITIZED_BY(sanitizer) __has_feature(sanitizer##_sanitizer)
#else
#define GRAINFABRIC_SANITIZED_BY(sanitizer) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || GRAINFABRIC_SANITIZED_BY(address)
#define GRAINFABRIC_FINDS_LEAKS 1
#else
#define GRAINFABRIC_FINDS_LEAKS 0
#endif

/// Time limits of tests: generous, since they only end what has failed already.
namespace grainfabric::test {

#if GRAINFABRIC_FINDS_LEAKS || defined(__SANITIZE_THREAD__) || GRAINFABRIC_SANITIZED_BY(thread)
inline constexpr int kSlowdown = 10;
#else
inline constexpr int kSlowdown = 1;
#endif

/// FABRIC_TEST_PATIENCE: how many times slower this host is than a common one (tests/vm emulates).
inline int host_slowdown() {
  const char* factor = std::getenv("FABRIC_TEST_PATIENCE");
  return factor == nullptr ? 1 : std::max(std::atoi(factor), 1);
}

using namespace std::chrono_literals;
inline const std::chrono::milliseconds kPatience = 10s * kSlowdown * host_slowdown();
/// "At once", on a machine that does other things too.
inline constexpr std::chrono::milliseconds kAtOnce = 200ms * kSlowdown;

/// Waits until `condition` holds; returns whether it does.
template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds limit = kPatience) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return condition();
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// How long `what` takes.
template <typename What>
std::chrono::steady_clock::duration time_of(What what) {
  const auto begin = std::chrono::steady_clock::now();
  what();
  return std::chrono::steady_clock::now() - begin;
}

}  // namespace grainfabric::test
