// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "base/fd.hpp"

namespace grainfabric::transport::verbs {

/// A point in time that wakes whoever sleeps on its descriptor, once. One thread.
class Deadline {
 public:
  /// None set. Throws Error if there is no descriptor left.
  Deadline();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  void set(std::chrono::milliseconds from_now) noexcept;
  void cancel() noexcept { set({}); }
  /// Whether it is set and over.
  [[nodiscard]] bool is_over() const noexcept;

 private:
  UniqueFd fd_;
  std::chrono::steady_clock::time_point when_ = std::chrono::steady_clock::time_point::max();
};

}  // namespace grainfabric::transport::verbs
