// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <mutex>

#include "gstptr.hpp"

namespace fabric {

/// What to add to a time of the pipeline's clock to get TAI nanoseconds. Clocks that count TAI
/// (PTP, CLOCK_TAI) need nothing, CLOCK_REALTIME the kernel's offset; any other is measured once
/// per pipeline, by the first element that asks, and shared through a GstContext, so that all flows
/// of the pipeline shift alike.
class TaiOffset {
 public:
  /// From the element's set_context, before it chains up. Any thread.
  void set_context(GstContext* context);
  /// For `element` with its `clock`. May post messages: not under a lock. Streaming thread.
  GstClockTimeDiff get(GstElement* element, GstClock* clock);
  /// Forgets what was measured, for a new run of the pipeline.
  void reset();

 private:
  bool read(GstClock* clock, GstClockTimeDiff* offset);

  std::mutex mutex_;
  ContextPtr context_;
};

}  // namespace fabric
