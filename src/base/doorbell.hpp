// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "base/export.hpp"

namespace grainfabric {

/// A word that one thread sleeps on until somebody rings: another thread, or another process where
/// the word lies in memory that the two share. Any thread.
class GRAINFABRIC_API Doorbell {
 public:
  /// What the word says while somebody sleeps on it; all other values are the memory's owner's.
  static constexpr std::uint32_t kAsleep = 2;

  /// `memory` is kept for as long as the doorbell.
  Doorbell(std::shared_ptr<const void> memory, std::atomic<std::uint32_t>& word) noexcept
      : memory_(std::move(memory)), word_(word) {}

  /// Sleeps for as long as the word says kAsleep, until `deadline`. Returns with another value
  /// there.
  void sleep(std::chrono::steady_clock::time_point deadline) noexcept;
  /// Takes kAsleep back, and wakes whom it finds asleep.
  void ring() noexcept;

  /// Wakes who sleeps on `word`, which has changed already.
  static void wake(std::atomic<std::uint32_t>& word) noexcept;

 private:
  const std::shared_ptr<const void> memory_;
  std::atomic<std::uint32_t>& word_;
};

}  // namespace grainfabric
