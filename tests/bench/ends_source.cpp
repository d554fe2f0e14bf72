// SPDX-License-Identifier: Apache-2.0
#include "ends_source.hpp"

#include <cstring>
#include <ctime>

struct _GstEndsSource {
  GstPushSrc parent;
  guint64 size;
  gboolean own_memory;
  gint rate;
  guint64 fill;
  guint64 made;
};

G_DEFINE_TYPE(GstEndsSource, gst_ends_source, GST_TYPE_PUSH_SRC)

namespace {

enum Property { kSize = 1, kOwnMemory, kRate, kFill };

// Not ANY: then a GstBaseSrc would negotiate neither caps nor an allocation.
GstStaticPadTemplate raw = GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS,
                                                   GST_STATIC_CAPS("video/x-raw; audio/x-raw"));

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  GstEndsSource* self = GST_ENDS_SOURCE(object);
  switch (id) {
    case kSize:
      self->size = g_value_get_uint64(value);
      gst_base_src_set_blocksize(GST_BASE_SRC_CAST(self), static_cast<guint>(self->size));
      break;
    case kOwnMemory:
      self->own_memory = g_value_get_boolean(value);
      break;
    case kRate:
      self->rate = g_value_get_int(value);
      break;
    case kFill:
      self->fill = g_value_get_uint64(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

gboolean decide_allocation(GstBaseSrc* base, GstQuery* query) {
  if (GST_ENDS_SOURCE(base)->own_memory != FALSE) {
    while (gst_query_get_n_allocation_pools(query) > 0) {
      gst_query_remove_nth_allocation_pool(query, 0);
    }
    while (gst_query_get_n_allocation_params(query) > 0) {
      gst_query_remove_nth_allocation_param(query, 0);
    }
  }
  return GST_BASE_SRC_CLASS(gst_ends_source_parent_class)->decide_allocation(base, query);
}

GstFlowReturn fill(GstPushSrc* source, GstBuffer* buffer) {
  GstEndsSource* self = GST_ENDS_SOURCE(source);
  GstMapInfo map;
  if (gst_buffer_map(buffer, &map, GST_MAP_WRITE) == FALSE) return GST_FLOW_ERROR;
  if (self->rate > 0) {
    GST_BUFFER_PTS(buffer) =
        gst_util_uint64_scale(self->made, GST_SECOND, static_cast<guint64>(self->rate));
  }
  if (self->made < self->fill) std::memset(map.data, 1, map.size);
  EndsMark mark{++self->made, monotonic_nanoseconds()};
  if (self->rate > 0) {
    // The sink waits until then; what it does after that is what counts.
    const GstClockTime base = gst_element_get_base_time(GST_ELEMENT_CAST(self));
    mark.made_at = base + GST_BUFFER_PTS(buffer);
  }
  std::memcpy(map.data, &mark, sizeof mark);
  std::memcpy(map.data + map.size - sizeof mark, &mark, sizeof mark);
  gst_buffer_unmap(buffer, &map);
  return GST_FLOW_OK;
}

}  // namespace

static void gst_ends_source_class_init(GstEndsSourceClass* klass) {
  GObjectClass* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  constexpr auto kWritable = static_cast<GParamFlags>(G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(
      object, kSize,
      g_param_spec_uint64("size", "Size", "Bytes of a frame", 32, G_MAXUINT32, 4096, kWritable));
  g_object_class_install_property(
      object, kOwnMemory,
      g_param_spec_boolean("own-memory", "Own memory", "Ignore what downstream offers", FALSE,
                           kWritable));
  g_object_class_install_property(
      object, kRate,
      g_param_spec_int("rate", "Rate", "Frames a second, 0: no times", 0, 1000, 0, kWritable));
  g_object_class_install_property(
      object, kFill,
      g_param_spec_uint64("fill", "Fill", "Frames at the start that are written whole", 0,
                          G_MAXUINT32, 0, kWritable));
  gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &raw);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Ends source", "Source/Test",
                                        "Touches only the ends of its buffers", "grainfabric");
  GST_BASE_SRC_CLASS(klass)->decide_allocation = decide_allocation;
  GST_PUSH_SRC_CLASS(klass)->fill = fill;
}

static void gst_ends_source_init(GstEndsSource* self) {
  gst_base_src_set_format(GST_BASE_SRC_CAST(self), GST_FORMAT_TIME);
}

std::uint64_t monotonic_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

bool register_ends_source() {
  return gst_element_register(nullptr, "endssrc", GST_RANK_NONE, gst_ends_source_get_type()) !=
         FALSE;
}
