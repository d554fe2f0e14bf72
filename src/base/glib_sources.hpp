// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <glib.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"

namespace grainfabric {

/// A GMainContext as a Pollable: control connections and timers, which are many and seldom have
/// anything to do, do not slow down what is between them. The loop thread, which owns the context.
class GlibSources final : public Pollable {
 public:
  /// `dispatched` is called after sources have run. Throws Error where there are no descriptors
  /// left.
  explicit GlibSources(std::function<void()> dispatched);
  ~GlibSources() override;
  GlibSources(const GlibSources&) = delete;
  GlibSources& operator=(const GlibSources&) = delete;

  [[nodiscard]] GMainContext* context() const noexcept { return context_; }

  void append_fds(std::vector<int>* fds) const override;
  bool arm() override;
  bool progress() override;

 private:
  void follow(const std::vector<GPollFD>& wanted);
  void set_timer(gint milliseconds) const;
  void begin_anew();

  const std::function<void()> dispatched_;
  GMainContext* const context_;
  UniqueFd epoll_;
  UniqueFd outdated_;  // the one before, until append_fds() has been asked for the new one
  const UniqueFd timer_;
  std::uint64_t round_ = 0;  // of follow(): what it did not name is stale
  std::vector<GPollFD> polled_;
  std::vector<GPollFD> queried_;  // used again
  bool has_changed_ = true;
};

}  // namespace grainfabric
