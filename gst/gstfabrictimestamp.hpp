// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include "gstptr.hpp"
#include "gsttaioffset.hpp"
#include "session/grain.hpp"

#define GST_TYPE_FABRIC_TIMESTAMP_MODE (gst_fabric_timestamp_mode_get_type())
GType gst_fabric_timestamp_mode_get_type(void);

namespace fabric {

enum class TimestampMode {
  arrival,    ///< PTS is when the buffer arrived, by this pipeline's clock.
  sender,     ///< Segment, PTS and DTS as the sender had them.
  reference,  ///< PTS is the buffer's absolute TAI time, by this pipeline's clock.
};

/// Gives buffers their times. With `sender` everything stays as it came; the other modes put the
/// stream into a TIME segment from 0, whose running time is that of this pipeline, and keep what
/// lies between DTS and PTS; events made anew keep the sender's sequence numbers. Every buffer also
/// gets a GstReferenceTimestampMeta "timestamp/x-tai" if its absolute time is known. Streaming
/// thread.
class Timestamper {
 public:
  /// For a new run of the element.
  void reset(TimestampMode mode);
  /// The sender began a new stream: it will send a segment.
  void begin_stream() { sent_ = false; }
  void set_sender_segment(GstEvent* event);
  [[nodiscard]] bool segment_sent() const { return sent_; }
  void push_segment(GstPad* pad);
  /// After a flush the segment has to go again.
  void forget_segment() { sent_ = false; }

  /// What comes now may have waited, for a session or for PLAYING. It comes faster than it was
  /// made, each buffer less late than the one before, and tells nothing of the journey until that
  /// ends.
  void catch_up();
  void stamp(GstElement* element, TaiOffset& tai, const grainfabric::GrainInfo& info,
             GstBuffer* buffer);
  /// The gap event with the times of the mode; takes it and returns it or another.
  GstEvent* stamp_gap(GstElement* element, GstEvent* event) const;

  /// How late buffers are for their PTS by their journey, in ns, rounded up to whole ms; grows
  /// only. 0 unless the mode is reference.
  [[nodiscard]] guint64 latency() const { return latency_; }

 private:
  /// Whether a buffer as late as this has not waited.
  bool has_caught_up(GstClockTime late);

  TimestampMode mode_ = TimestampMode::arrival;
  EventPtr sender_segment_;
  bool sent_ = false;
  guint64 latency_ = 0;
  bool catching_up_ = true;
  GstClockTime least_late_ = GST_CLOCK_TIME_NONE;
  int steady_ = 0;  // buffers since the one that was least late
};

}  // namespace fabric
