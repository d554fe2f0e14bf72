// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "transport/verbs/device.hpp"
#include "transport/verbs/limits.hpp"

namespace grainfabric::transport::verbs {

/// A completion queue and the descriptor that wakes for it. One thread.
class Completions {
 public:
  /// Throws Error.
  Completions(const Device& device, int depth);
  ~Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  [[nodiscard]] ibv_cq* queue() const noexcept { return queue_.get(); }
  [[nodiscard]] int fd() const noexcept { return channel_->fd; }

  /// Asks for a wake-up by the next completion. False: some are there already, to be read.
  bool arm();
  /// The next one. Throws Error if the queue is broken.
  std::optional<ibv_wc> next();

 private:
  bool refill();
  void take_events();

  const Device& device_;
  CompletionChannel channel_;
  CompletionQueue queue_;
  std::array<ibv_wc, kProgressBatch> batch_;  // read, not given out yet: [first_, last_)
  std::size_t first_ = 0;
  std::size_t last_ = 0;
  bool armed_ = false;
  unsigned unacknowledged_ = 0;
};

}  // namespace grainfabric::transport::verbs
