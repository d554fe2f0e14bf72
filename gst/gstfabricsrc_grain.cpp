// SPDX-License-Identifier: Apache-2.0
#include "gstfabricsrc_source.hpp"

#include <utility>

#include "gstfabricmeta.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using fabric::Source;
using grainfabric::IncomingGrain;

static GstBuffer* gst_fabric_src_buffer_of(Source& source, IncomingGrain& grain) {
  GstBuffer* buffer = gst_buffer_new();
  // These describe what the sender's process did with its memory, not this buffer.
  constexpr guint kOwnFlags = GST_BUFFER_FLAG_TAG_MEMORY | GST_MINI_OBJECT_FLAG_LOCKABLE |
                              GST_MINI_OBJECT_FLAG_LOCK_READONLY |
                              GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED;
  GST_BUFFER_FLAG_SET(buffer, source.layout.flags(grain.info.flags & ~kOwnFlags));
  if (grain.discont) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
  GST_BUFFER_OFFSET(buffer) = grain.info.offset;
  GST_BUFFER_OFFSET_END(buffer) = grain.info.offset_end;
  const auto metadata = grain.metadata;  // in the slot, which the lease keeps
  const grainfabric::GrainLease* lease = &grain.lease;
  grainfabric::GrainLease kept;
  if (grain.payload.empty()) {
    kept = std::move(grain.lease);  // until the metadata has been read
    lease = &kept;
  } else {
    if (!source.ring || !source.ring->serves(lease->ring().get())) {
      source.ring = std::make_unique<fabric::RingMemories>(lease->ring());
    }
    gst_buffer_append_memory(buffer, source.ring->wrap(grain));
    GST_BUFFER_FLAG_UNSET(buffer, GST_BUFFER_FLAG_TAG_MEMORY);  // for pools; the sender had it not
  }
  if (!fabric_meta_deserialize(buffer, metadata) || !source.layout.fits(buffer) ||
      !source.audio.fits(buffer)) {
    GST_WARNING_OBJECT(source.element, "the metas of grain %" G_GUINT64_FORMAT " make no sense",
                       grain.info.sequence);
    gst_buffer_unref(buffer);
    return nullptr;
  }
  return buffer;
}

GstFlowReturn gst_fabric_src_push_grain(Source& source, IncomingGrain grain) {
  const grainfabric::GrainInfo info = grain.info;
  GstBuffer* buffer = gst_fabric_src_buffer_of(source, grain);
  if (buffer == nullptr) {
    GST_ELEMENT_WARNING(source.element, STREAM, FORMAT,
                        ("A buffer from the sender has metas that do not fit it; it is left out."),
                        (nullptr));
    return GST_FLOW_OK;
  }
  if (!source.timestamper.segment_sent()) source.timestamper.push_segment(source.pad);
  if (grain.discont || source.resumed.exchange(false)) source.timestamper.catch_up();
  source.timestamper.stamp(GST_ELEMENT_CAST(source.element), source.tai, info, buffer);
  const guint64 latency = source.timestamper.latency();
  if (source.latency.exchange(latency) != latency) {
    gst_element_post_message(GST_ELEMENT_CAST(source.element),
                             gst_message_new_latency(GST_OBJECT_CAST(source.element)));
  }
  source.layout.follow(source.pad);
  return gst_pad_push(source.pad, source.layout.readable(buffer, source.bytes_copied));
}
