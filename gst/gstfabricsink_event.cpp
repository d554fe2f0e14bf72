// SPDX-License-Identifier: Apache-2.0
#include <gst/video/video.h>

#include <chrono>
#include <memory>

#include "gstfabricevent.hpp"
#include "gstfabricevent_body.hpp"
#include "gstfabricpool.hpp"
#include "gstfabricsink_sink.hpp"
#include "gstptr.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using fabric::Sink;
using grainfabric::Initiator;

namespace {

/// EOS is posted when the target has all grains; a target that vanished must not hold it up longer.
constexpr std::chrono::milliseconds kDrain{5000};

/// Bytes of a line of such pictures; 1 where a picture has no lines one after the other.
gsize line_of(const GstVideoInfo& info) {
  const gint stride = GST_VIDEO_INFO_PLANE_STRIDE(&info, 0);
  return GST_VIDEO_FORMAT_INFO_IS_TILED(info.finfo) || stride <= 0 ? 1 : static_cast<gsize>(stride);
}

}  // namespace

gboolean gst_fabric_sink_propose_allocation(GstBaseSink* base, GstQuery* query) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  GstCaps* caps = nullptr;
  gboolean need_pool = FALSE;
  gst_query_parse_allocation(query, &caps, &need_pool);
  GstVideoInfo info;
  // For other streams the size of a buffer is not known; what they send goes out from where it is.
  if (caps == nullptr || !gst_video_info_from_caps(&info, caps)) return TRUE;
  const auto size = static_cast<guint>(GST_VIDEO_INFO_SIZE(&info));
  if (need_pool && size > 0) {
    const grainfabric::Placement placement{sink.settings.pages, sink.device()};
    const fabric::BufferPoolPtr pool(gst_fabric_pool_new(sink.settings.slots, placement));
    GstStructure* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, caps, size, 0, 0);
    if (!gst_buffer_pool_set_config(pool.get(), config)) return FALSE;
    gst_query_add_allocation_pool(query, pool.get(), size, 2, 0);
  }
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  return TRUE;
}

gboolean gst_fabric_sink_event(GstBaseSink* base, GstEvent* event) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  const auto initiator = sink.engine();
  // GStreamer forgets it, too; a target that comes later is not to end.
  if (initiator && GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP) {
    initiator->forget_event(fabric::body::kNameEos);
  }
  if (initiator && GST_EVENT_IS_SERIALIZED(event) &&
      GST_EVENT_TYPE(event) != GST_EVENT_FLUSH_STOP) {
    if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START) initiator->forget_events();
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      GstVideoInfo info;
      const bool video = gst_video_info_from_caps(&info, caps);
      if (video) initiator->reserve(GST_VIDEO_INFO_SIZE(&info));
      sink.line = video ? line_of(info) : 1;
    }
    if (const auto stream_event = fabric_event_to_stream(event)) {
      // A pause breaks the wait for the target, or comes just before it, and the same event goes on
      // after it. A flush ends it: upstream sends sticky events again then, for they were refused.
      while (initiator->push_event(*stream_event, sink.policy()) ==
             Initiator::PushResult::flushing) {
        if (gst_base_sink_wait_preroll(base) != GST_FLOW_OK) {
          gst_event_unref(event);
          return FALSE;
        }
      }
    }
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS && !initiator->drain(kDrain)) {
      const grainfabric::Stats stats = initiator->stats();
      if (stats.provider.empty() && stats.grains > 0) {
        GST_ELEMENT_WARNING(
            base, RESOURCE, WRITE,
            ("The stream ended without its target: %" G_GUINT64_FORMAT " buffers did not arrive.",
             stats.lost),
            (nullptr));
      }
    }
  }
  return GST_BASE_SINK_CLASS(g_type_class_peek(GST_TYPE_BASE_SINK))->event(base, event);
}

void Sink::on_upstream(const grainfabric::StreamEvent& event) {
  GstEvent* upstream = fabric_event_from_stream(event);
  if (upstream == nullptr) return;
  if (!GST_EVENT_IS_UPSTREAM(upstream)) {
    gst_event_unref(upstream);
    return;
  }
  // Not from the loop thread: what is upstream may do as it likes, and take its time.
  gst_element_call_async(
      GST_ELEMENT_CAST(element),
      [](GstElement* sink, gpointer data) {
        gst_pad_push_event(GST_BASE_SINK_PAD(sink), gst_event_ref(GST_EVENT(data)));
      },
      upstream, [](gpointer data) { gst_event_unref(GST_EVENT(data)); });
}
