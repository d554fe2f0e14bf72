// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/histogram.hpp"

/// How long buffers took, of all streams of a process: from the making of a buffer (with a rate:
/// from when it was due) to its arrival, nanoseconds. `mutex`: of that, and of what its Arrivals
/// count.
struct Latencies {
  std::mutex mutex;
  grainfabric::Histogram histogram;
  std::uint64_t longest = 0;
};

/// What arrives at one sink: marks of an endssrc are read from each buffer, counted between begin()
/// and end(). Not to be moved or destroyed before the pipeline is in NULL.
class Arrivals {
 public:
  /// Listens on the sink's pad.
  Arrivals(GstElement* sink, Latencies& latencies);

  /// Any thread.
  [[nodiscard]] std::uint64_t arrived() const noexcept { return arrived_; }
  /// CLOCK_MONOTONIC nanoseconds; 0: nothing yet.
  [[nodiscard]] std::uint64_t first_at() const noexcept { return first_at_; }
  void begin() noexcept { on_ = true; }
  void end() noexcept { over_ = true; }

  // The rest with the mutex of the latencies.
  [[nodiscard]] std::uint64_t counted() const noexcept { return counted_; }
  /// From the first to the last buffer that was counted.
  [[nodiscard]] double seconds() const noexcept;
  /// Numbers that were left out; buffers whose ends are not of one and the same; buffers that came
  /// more than a frame (1/60 s) after they were due.
  [[nodiscard]] std::uint64_t missing() const noexcept { return missing_; }
  [[nodiscard]] std::uint64_t torn() const noexcept { return torn_; }
  [[nodiscard]] std::uint64_t late() const noexcept { return late_; }

 private:
  static GstPadProbeReturn on_buffer(GstPad*, GstPadProbeInfo* info, gpointer self);
  void take(GstBuffer* buffer, std::uint64_t now);

  Latencies& latencies_;
  std::atomic<std::uint64_t> arrived_{0};
  std::atomic<std::uint64_t> first_at_{0};
  std::atomic<bool> on_{false};
  std::atomic<bool> over_{false};
  std::uint64_t last_ = 0;  // streaming thread
  // With the mutex.
  std::uint64_t counted_ = 0;
  std::uint64_t missing_ = 0;
  std::uint64_t torn_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};
