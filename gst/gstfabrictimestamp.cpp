// SPDX-License-Identifier: Apache-2.0
#include "gstfabrictimestamp.hpp"

#include <algorithm>

GType gst_fabric_timestamp_mode_get_type(void) {
  using fabric::TimestampMode;
  static const GEnumValue values[] = {
      {static_cast<gint>(TimestampMode::arrival), "When the buffer arrived", "arrival"},
      {static_cast<gint>(TimestampMode::sender), "What the sender had, unchanged", "sender"},
      {static_cast<gint>(TimestampMode::reference),
       "The sender's absolute time (TAI), on this pipeline's clock", "reference"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstFabricTimestampMode", values);
  return type;
}

namespace fabric {
namespace {

/// Of the latency.
constexpr GstClockTime kStep = GST_MSECOND;

GstCaps* tai_caps() {
  static GstCaps* const caps = [] {
    GstCaps* made = gst_caps_new_empty_simple("timestamp/x-tai");
    GST_MINI_OBJECT_FLAG_SET(made, GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED);
    return made;
  }();
  return caps;
}

GstClockTime running_time_now(GstElement* element) {
  const GstClockTime running = gst_element_get_current_running_time(element);
  return GST_CLOCK_TIME_IS_VALID(running) ? running : 0;
}

/// `time` moved by as much as moves `anchor` to `to`; not below 0.
GstClockTime moved(GstClockTime time, GstClockTime anchor, GstClockTime to) {
  if (time >= anchor) return to + (time - anchor);
  return to - std::min(to, anchor - time);
}

}  // namespace

void Timestamper::reset(TimestampMode mode) {
  mode_ = mode;
  sender_segment_.reset();
  sent_ = false;
  latency_ = 0;
  catch_up();
}

void Timestamper::catch_up() {
  catching_up_ = true;
  least_late_ = GST_CLOCK_TIME_NONE;
  steady_ = 0;
}

void Timestamper::set_sender_segment(GstEvent* event) {
  sender_segment_.reset(gst_event_ref(event));
  if (mode_ == TimestampMode::sender) sent_ = false;
}

void Timestamper::push_segment(GstPad* pad) {
  if (sent_) return;
  sent_ = true;
  if (mode_ == TimestampMode::sender && sender_segment_) {
    gst_pad_push_event(pad, gst_event_ref(sender_segment_.get()));
    return;
  }
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  GstEvent* event = gst_event_new_segment(&segment);
  if (sender_segment_) gst_event_set_seqnum(event, gst_event_get_seqnum(sender_segment_.get()));
  gst_pad_push_event(pad, event);
}

bool Timestamper::has_caught_up(GstClockTime late) {
  if (!catching_up_) return true;
  constexpr int kEnough = 3;  // one alone may have been held up on its way
  if (late + kStep <= least_late_) {
    least_late_ = late;
    steady_ = 0;
  } else {
    ++steady_;
  }
  catching_up_ = late > latency_ && steady_ < kEnough;
  return !catching_up_;
}

void Timestamper::stamp(GstElement* element, TaiOffset& tai, const grainfabric::GrainInfo& info,
                        GstBuffer* buffer) {
  GST_BUFFER_DURATION(buffer) = info.duration;
  GST_BUFFER_PTS(buffer) = info.pts;
  GST_BUFFER_DTS(buffer) = info.dts;
  if (info.tai != grainfabric::kNone &&
      gst_buffer_get_reference_timestamp_meta(buffer, tai_caps()) == nullptr) {
    gst_buffer_add_reference_timestamp_meta(buffer, tai_caps(), info.tai, GST_CLOCK_TIME_NONE);
  }
  if (mode_ == TimestampMode::sender) return;

  const GstClockTime now = running_time_now(element);
  GstClockTime to = now;
  // Encoded streams arrive in the order of their DTS, others in that of their PTS.
  GstClockTime anchor = GST_CLOCK_TIME_IS_VALID(info.dts) ? info.dts : info.pts;
  const ClockPtr clock(gst_element_get_clock(element));
  if (mode_ == TimestampMode::reference && clock && info.tai != grainfabric::kNone) {
    anchor = info.pts;  // which is what the TAI time is of
    const GstClockTimeDiff offset = tai.get(element, clock.get());
    const GstClockTimeDiff running =
        static_cast<GstClockTimeDiff>(info.tai) - offset -
        static_cast<GstClockTimeDiff>(gst_element_get_base_time(element));
    to = running > 0 ? static_cast<GstClockTime>(running) : 0;
    const GstClockTime late = now > to ? now - to : 0;
    if (has_caught_up(late)) {
      latency_ = std::max<guint64>(latency_, (late + kStep - 1) / kStep * kStep);
    }
  }
  if (!GST_CLOCK_TIME_IS_VALID(anchor)) {
    GST_BUFFER_PTS(buffer) = to;
    return;
  }
  if (GST_CLOCK_TIME_IS_VALID(info.pts)) GST_BUFFER_PTS(buffer) = moved(info.pts, anchor, to);
  if (GST_CLOCK_TIME_IS_VALID(info.dts)) GST_BUFFER_DTS(buffer) = moved(info.dts, anchor, to);
}

GstEvent* Timestamper::stamp_gap(GstElement* element, GstEvent* event) const {
  if (mode_ == TimestampMode::sender) return event;
  const EventPtr owner(event);
  GstClockTime duration = GST_CLOCK_TIME_NONE;
  gst_event_parse_gap(event, nullptr, &duration);
  GstEvent* stamped = gst_event_new_gap(running_time_now(element), duration);
  gst_event_set_seqnum(stamped, gst_event_get_seqnum(event));
  return stamped;
}

}  // namespace fabric
