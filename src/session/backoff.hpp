// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

#include "base/token.hpp"

namespace grainfabric {

/// The pauses between attempts: moments at first, and never so long that a target which is back is
/// kept waiting for a second. A hundred initiators of one dead target are still but a few hundred
/// packets a second.
class Backoff {
 public:
  /// The next pause. Half as long or half as long again by chance, and twice as long each time.
  std::chrono::milliseconds next() {
    std::uniform_int_distribution<long> jitter(pause_.count() / 2, pause_.count() * 3 / 2);
    pause_ = std::min(pause_ * 2, kLongest);
    return std::chrono::milliseconds(jitter(random_));
  }
  /// Something was reached: the pauses are short again.
  void reset() noexcept { pause_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kLongest{500};

  std::minstd_rand random_{static_cast<std::minstd_rand::result_type>(random_u64())};
  std::chrono::milliseconds pause_ = kFirst;
};

}  // namespace grainfabric
