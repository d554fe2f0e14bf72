// SPDX-License-Identifier: Apache-2.0
#include "gsttaioffset.hpp"

#include <time.h>

#include "base/clock.hpp"

namespace fabric {
namespace {

/// Name of the GstContext; its structure has "clock" (GstClock) and "offset" (gint64, ns).
constexpr const char* kContextType = "grainfabric.tai-offset";

/// Of clocks that need no measuring.
bool known_offset(GstClock* clock, GstClockTimeDiff* offset) {
  // By name: libgstnet is not needed for more than this.
  if (g_str_equal(G_OBJECT_TYPE_NAME(clock), "GstPtpClock")) {
    *offset = 0;
    return true;
  }
  if (!GST_IS_SYSTEM_CLOCK(clock)) return false;
  GstClockType type = GST_CLOCK_TYPE_MONOTONIC;
  g_object_get(clock, "clock-type", &type, nullptr);
  if (type == GST_CLOCK_TYPE_TAI) {
    *offset = 0;
    return true;
  }
  if (type != GST_CLOCK_TYPE_REALTIME) return false;
  timespec realtime{};
  ::clock_gettime(CLOCK_REALTIME, &realtime);
  const auto now = static_cast<gint64>(grainfabric::tai_now());
  // Whole seconds by definition; the rest is the time between the two calls.
  const gint64 difference =
      now - (realtime.tv_sec * G_GINT64_CONSTANT(1000000000) + realtime.tv_nsec);
  *offset = (difference + GST_SECOND / 2) / static_cast<gint64>(GST_SECOND) *
            static_cast<gint64>(GST_SECOND);
  return true;
}

}  // namespace

void TaiOffset::set_context(GstContext* context) {
  if (context == nullptr || !gst_context_has_context_type(context, kContextType)) return;
  const std::lock_guard lock(mutex_);
  context_.reset(gst_context_ref(context));
}

bool TaiOffset::read(GstClock* clock, GstClockTimeDiff* offset) {
  const std::lock_guard lock(mutex_);
  if (!context_) return false;
  const GstStructure* structure = gst_context_get_structure(context_.get());
  GstClock* measured = nullptr;
  gint64 value = 0;
  if (!gst_structure_get(structure, "clock", GST_TYPE_CLOCK, &measured, "offset", G_TYPE_INT64,
                         &value, nullptr)) {
    return false;
  }
  const ClockPtr owner(measured);
  *offset = value;
  return measured == clock;  // a pipeline may have got another clock since
}

GstClockTimeDiff TaiOffset::get(GstElement* element, GstClock* clock) {
  GstClockTimeDiff offset = 0;
  if (known_offset(clock, &offset) || read(clock, &offset)) return offset;
  gst_element_post_message(element,
                           gst_message_new_need_context(GST_OBJECT_CAST(element), kContextType));
  if (read(clock, &offset)) return offset;
  offset = GST_CLOCK_DIFF(gst_clock_get_time(clock), grainfabric::tai_now());
  // Not persistent: clocks drift apart, so that each run of a pipeline measures anew.
  GstContext* context = gst_context_new(kContextType, FALSE);
  gst_structure_set(gst_context_writable_structure(context), "clock", GST_TYPE_CLOCK, clock,
                    "offset", G_TYPE_INT64, static_cast<gint64>(offset), nullptr);
  gst_element_set_context(element, context);
  gst_element_post_message(element,
                           gst_message_new_have_context(GST_OBJECT_CAST(element), context));
  return offset;
}

void TaiOffset::reset() {
  const std::lock_guard lock(mutex_);
  context_.reset();
}

}  // namespace fabric
