// SPDX-License-Identifier: Apache-2.0
#include <gst/video/video.h>
#include <sys/prctl.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gstfabricallocator.hpp"
#include "gstfabricforeign.hpp"
#include "gstfabricmeta.hpp"
#include "gstfabricsink_sink.hpp"
#include "gstptr.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using fabric::Sink;
using grainfabric::Initiator;
using grainfabric::PayloadPart;

namespace {

/// Keeps a buffer and its mappings until the engine has let go of it.
struct SentBuffer {
  GstBuffer* buffer;
  std::vector<GstMapInfo> maps;

  explicit SentBuffer(GstBuffer* sent) : buffer(gst_buffer_ref(sent)) {}
  SentBuffer(const SentBuffer&) = delete;
  SentBuffer& operator=(const SentBuffer&) = delete;
  ~SentBuffer() {
    for (GstMapInfo& map : maps) gst_memory_unmap(map.memory, &map);
    gst_buffer_unref(buffer);
  }
  static void release(void* self) { delete static_cast<SentBuffer*>(self); }
};

/// What is mapped, by the address that it has in its region if it is in one.
PayloadPart part_of(const GstMapInfo& map, bool register_memory) {
  const std::span bytes(reinterpret_cast<const std::byte*>(map.data), map.size);
  if (auto region = gst_fabric_memory_region(map.memory)) return {bytes, std::move(region)};
  if (auto view = gst_fabric_foreign_region(map.memory, map)) {
    return {view->bytes().subspan(map.memory->offset, map.size), view};
  }
  return {bytes, register_memory ? gst_fabric_system_region(map.memory, map) : nullptr};
}

/// Absolute time of a buffer: its running time on the pipeline's clock, as TAI.
guint64 tai_of(GstBaseSink* base, Sink& sink, GstClockTime pts) {
  const fabric::ClockPtr clock(gst_element_get_clock(GST_ELEMENT_CAST(base)));
  if (!clock || base->segment.format != GST_FORMAT_TIME || !GST_CLOCK_TIME_IS_VALID(pts)) {
    return grainfabric::kNone;
  }
  const guint64 running = gst_segment_to_running_time(&base->segment, GST_FORMAT_TIME, pts);
  if (!GST_CLOCK_TIME_IS_VALID(running)) return grainfabric::kNone;
  const GstClockTimeDiff offset = sink.tai.get(GST_ELEMENT_CAST(base), clock.get());
  return gst_element_get_base_time(GST_ELEMENT_CAST(base)) + running + static_cast<guint64>(offset);
}

/// What slices of this buffer are made of: whole lines, of the first plane where there are several.
gsize slice_unit_of(const Sink& sink, GstBuffer* buffer) {
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  const bool padded = meta != nullptr && sink.line > 1 && meta->stride[0] > 0;
  return padded ? static_cast<gsize>(meta->stride[0]) : sink.line;
}

}  // namespace

/// Before the wait for the clock. The kernel lets a thread sleep 50 us longer than it asked for, in
/// case something else wakes the core by then (PR_SET_TIMERSLACK): a third of the latency at 60
/// pictures a second within one host.
GstFlowReturn gst_fabric_sink_prepare(GstBaseSink* base, GstBuffer*) {
  static thread_local bool wakes_in_time = false;
  if (!wakes_in_time && gst_base_sink_get_sync(base)) {
    wakes_in_time = ::prctl(PR_SET_TIMERSLACK, 1UL) == 0;
  }
  return GST_FLOW_OK;
}

GstFlowReturn gst_fabric_sink_render(GstBaseSink* base, GstBuffer* buffer) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  const auto initiator = sink.engine();
  if (!initiator) return GST_FLOW_FLUSHING;

  auto sent = std::make_unique<SentBuffer>(buffer);
  sink.payload.clear();
  const guint memories = gst_buffer_n_memory(buffer);
  sent->maps.reserve(memories);
  for (guint i = 0; i < memories; ++i) {
    GstMemory* memory = gst_buffer_peek_memory(buffer, i);
    GstMapInfo map;
    if (!gst_memory_map(memory, &map, GST_MAP_READ)) {
      GST_ELEMENT_ERROR(base, RESOURCE, READ, ("A buffer from upstream cannot be mapped."),
                        ("memory %u of %" GST_PTR_FORMAT, i, buffer));
      return GST_FLOW_ERROR;
    }
    sent->maps.push_back(map);
    sink.payload.push_back(part_of(map, sink.register_memory));
  }
  sink.metadata.clear();
  fabric_meta_serialize(buffer, sink.metadata);

  grainfabric::OutgoingGrain grain;
  grain.info.pts = GST_BUFFER_PTS(buffer);
  grain.info.dts = GST_BUFFER_DTS(buffer);
  grain.info.duration = GST_BUFFER_DURATION(buffer);
  grain.info.offset = GST_BUFFER_OFFSET(buffer);
  grain.info.offset_end = GST_BUFFER_OFFSET_END(buffer);
  grain.info.tai = tai_of(base, sink, GST_BUFFER_PTS(buffer));
  grain.info.flags = GST_BUFFER_FLAGS(buffer);
  if (sink.discont) grain.info.flags |= GST_BUFFER_FLAG_DISCONT;
  grain.metadata = sink.metadata;
  grain.payload = sink.payload;
  grain.release = {SentBuffer::release, sent.get()};
  grain.slices = sink.slices;
  if (grain.slices > 1) grain.slice_unit = slice_unit_of(sink, buffer);

  for (;;) {
    switch (initiator->push(grain, sink.policy())) {
      case Initiator::PushResult::accepted:
        static_cast<void>(sent.release());  // the engine's now
        sink.discont = false;
        return GST_FLOW_OK;
      case Initiator::PushResult::dropped:
        sink.discont = true;
        return GST_FLOW_OK;
      case Initiator::PushResult::failed:
        return GST_FLOW_ERROR;  // on_failed() has posted why
      case Initiator::PushResult::flushing: {
        // A pause breaks the wait, too, and the same buffer goes on after it.
        const GstFlowReturn flow = gst_base_sink_wait_preroll(base);
        if (flow != GST_FLOW_OK) return flow;
        break;
      }
    }
  }
}
