// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <utility>

#include "gstfabricevent.hpp"
#include "gstfabricsrc_source.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using fabric::Source;

static gboolean gst_fabric_src_flush(Source& source, GstEvent* event) {
  const bool start = GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_START;
  const auto target = source.engine();
  if (start) {
    const gboolean sent = gst_pad_push_event(source.pad, event);
    {
      const std::lock_guard lock(source.mutex);
      source.flushing = true;
    }
    if (target) target->set_flushing(true);
    source.changed.notify_all();
    gst_pad_pause_task(source.pad);
    return sent;
  }
  gboolean reset_time = TRUE;
  gst_event_parse_flush_stop(event, &reset_time);
  // The loop is out of pad and queue once it lets go of the stream lock.
  GST_PAD_STREAM_LOCK(source.pad);
  const gboolean sent = gst_pad_push_event(source.pad, event);
  source.timestamper.forget_segment();
  GST_PAD_STREAM_UNLOCK(source.pad);
  {
    const std::lock_guard lock(source.mutex);
    source.flushing = false;
    source.wanted_eos.reset();
  }
  if (target) target->set_flushing(false);
  gst_pad_start_task(source.pad, gst_fabric_src_loop, source.element, nullptr);
  return sent;
}

/// Events that an application sends to the element.
gboolean gst_fabric_src_send_event(GstElement* element, GstEvent* event) {
  Source& source = *GST_FABRIC_SRC(element)->source;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_EOS: {
      fabric::EventPtr eos(event);
      {
        const std::lock_guard lock(source.mutex);
        if (source.flushing) return FALSE;
        source.wanted_eos = std::move(eos);
      }
      source.changed.notify_all();
      return TRUE;
    }
    case GST_EVENT_FLUSH_START:
    case GST_EVENT_FLUSH_STOP:
      return gst_fabric_src_flush(source, event);
    default:
      break;
  }
  if (!GST_EVENT_IS_UPSTREAM(event)) return gst_pad_push_event(source.pad, event);
  return gst_pad_send_event(source.pad, event);
}

gboolean gst_fabric_src_src_event(GstPad*, GstObject* parent, GstEvent* event) {
  Source& source = *GST_FABRIC_SRC(parent)->source;
  gboolean handled = FALSE;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_LATENCY:
    case GST_EVENT_QOS:
      handled = TRUE;  // for this pipeline; the sender's has a clock of its own
      break;
    case GST_EVENT_SEEK:
      GST_INFO_OBJECT(parent, "a live stream from another process cannot be sought in");
      break;
    default:
      if (const auto upstream = fabric_event_to_stream(event)) {
        if (const auto target = source.engine()) {
          target->send_upstream(*upstream);
          handled = TRUE;
        }
      }
      break;
  }
  gst_event_unref(event);
  return handled;
}

gboolean gst_fabric_src_src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  Source& source = *GST_FABRIC_SRC(parent)->source;
  switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_LATENCY:
      // Buffers are stamped as they arrive (or keep the sender's times) and pushed at once; with
      // timestamp-mode=reference they are as old as their journey took. Nothing is dropped here
      // however long downstream takes: the sender waits, so that there is no maximum.
      gst_query_set_latency(query, TRUE, source.latency, GST_CLOCK_TIME_NONE);
      return TRUE;
    case GST_QUERY_SEEKING: {
      GstFormat format = GST_FORMAT_TIME;
      gst_query_parse_seeking(query, &format, nullptr, nullptr, nullptr);
      gst_query_set_seeking(query, format, FALSE, 0, -1);
      return TRUE;
    }
    case GST_QUERY_SCHEDULING:
      gst_query_set_scheduling(query, GST_SCHEDULING_FLAG_SEQUENTIAL, 1, -1, 0);
      gst_query_add_scheduling_mode(query, GST_PAD_MODE_PUSH);
      return TRUE;
    default:
      return gst_pad_query_default(pad, parent, query);
  }
}
