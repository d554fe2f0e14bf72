// SPDX-License-Identifier: Apache-2.0
#include "gstfabricevent.hpp"

#include "gstfabricevent_body.hpp"
#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

using grainfabric::StreamEvent;
namespace body = fabric::body;

namespace {

/// The a{sv} under way.
class Body {
 public:
  Body() { g_variant_dict_init(&dict_, nullptr); }
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  ~Body() { g_variant_dict_clear(&dict_); }
  void add(const char* key, GVariant* value) { g_variant_dict_insert_value(&dict_, key, value); }
  void add(const char* key, const fabric::VariantPtr& value) { add(key, value.get()); }
  fabric::VariantPtr end() {
    return fabric::VariantPtr{g_variant_ref_sink(g_variant_dict_end(&dict_))};
  }

 private:
  GVariantDict dict_;
};

void add_format(Body& out, GstFormat format) {
  const char* nick = gst_format_get_name(format);
  if (const GstFormatDefinition* definition = gst_format_get_details(format)) {
    nick = definition->nick;
  }
  out.add(body::kFormat, g_variant_new_string(nick == nullptr ? "" : nick));
}

void write_stream_start(GstEvent* event, Body& out) {
  const gchar* stream_id = nullptr;
  GstStreamFlags flags = GST_STREAM_FLAG_NONE;
  guint group_id = GST_GROUP_ID_INVALID;
  gst_event_parse_stream_start(event, &stream_id);
  gst_event_parse_stream_flags(event, &flags);
  out.add(body::kStreamId, g_variant_new_string(stream_id));
  out.add(body::kFlags, g_variant_new_uint32(static_cast<guint32>(flags)));
  if (gst_event_parse_group_id(event, &group_id)) {
    out.add(body::kGroupId, g_variant_new_uint32(group_id));
  }
}

void write_segment(GstEvent* event, Body& out) {
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event, &segment);
  add_format(out, segment->format);
  out.add(body::kFlags, g_variant_new_uint32(static_cast<guint32>(segment->flags)));
  out.add(body::kRate, g_variant_new_double(segment->rate));
  out.add(body::kAppliedRate, g_variant_new_double(segment->applied_rate));
  out.add(body::kBase, g_variant_new_uint64(segment->base));
  out.add(body::kOffset, g_variant_new_uint64(segment->offset));
  out.add(body::kStart, g_variant_new_uint64(segment->start));
  out.add(body::kStop, g_variant_new_uint64(segment->stop));
  out.add(body::kTime, g_variant_new_uint64(segment->time));
  out.add(body::kPosition, g_variant_new_uint64(segment->position));
  out.add(body::kDuration, g_variant_new_uint64(segment->duration));
}

void write_gap(GstEvent* event, Body& out) {
  GstClockTime timestamp = GST_CLOCK_TIME_NONE;
  GstClockTime duration = GST_CLOCK_TIME_NONE;
  GstGapFlags flags{};
  gst_event_parse_gap(event, &timestamp, &duration);
  gst_event_parse_gap_flags(event, &flags);
  out.add(body::kTimestamp, g_variant_new_uint64(timestamp));
  out.add(body::kDuration, g_variant_new_uint64(duration));
  out.add(body::kFlags, g_variant_new_uint32(static_cast<guint32>(flags)));
}

GVariant* toc_entries_variant(const GList* entries, unsigned depth);

GVariant* toc_entry_variant(GstTocEntry* entry, unsigned depth) {
  gint64 start = -1;
  gint64 stop = -1;
  GstTocLoopType loop = GST_TOC_LOOP_NONE;
  gint repeats = 0;
  gst_toc_entry_get_start_stop_times(entry, &start, &stop);
  gst_toc_entry_get_loop(entry, &loop, &repeats);
  GstTagList* tags = gst_toc_entry_get_tags(entry);
  const fabric::VariantPtr tags_variant = fabric::tag_list_to_variant(
      tags == nullptr ? fabric::TagListPtr{gst_tag_list_new_empty()}.get() : tags);
  return g_variant_new("(isxxii@(ba(ssv))@av)", gst_toc_entry_get_entry_type(entry),
                       gst_toc_entry_get_uid(entry), start, stop, static_cast<gint>(loop), repeats,
                       tags_variant.get(),
                       toc_entries_variant(gst_toc_entry_get_sub_entries(entry), depth + 1));
}

GVariant* toc_entries_variant(const GList* entries, unsigned depth) {
  GVariantBuilder builder;
  g_variant_builder_init(&builder, G_VARIANT_TYPE("av"));
  for (const GList* link = depth > body::kMaxTocDepth ? nullptr : entries; link != nullptr;
       link = link->next) {
    g_variant_builder_add(&builder, "v",
                          toc_entry_variant(static_cast<GstTocEntry*>(link->data), depth));
  }
  return g_variant_builder_end(&builder);
}

void write_toc(GstToc* toc, bool updated, Body& out) {
  out.add(body::kUpdated, g_variant_new_boolean(updated));
  out.add(body::kEntries, toc_entries_variant(gst_toc_get_entries(toc), 0));
  if (GstTagList* tags = gst_toc_get_tags(toc)) {
    out.add(body::kTags, fabric::tag_list_to_variant(tags));
  }
}

/// Custom events may have no structure.
void write_structure(GstEvent* event, Body& out) {
  if (const GstStructure* structure = gst_event_get_structure(event)) {
    out.add(body::kStructure, fabric::structure_to_variant(structure));
  }
}

/// Fills in the name and the event's own fields; false for an event that stays in its process.
bool write_event(GstEvent* event, StreamEvent& stream, Body& out) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START:
      stream = {body::kNameStreamStart, true, {}};
      write_stream_start(event, out);
      return true;
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      stream = {body::kNameCaps, true, {}};
      out.add(body::kCaps, fabric::caps_to_variant(caps));
      return true;
    }
    case GST_EVENT_SEGMENT:
      stream = {body::kNameSegment, true, {}};
      write_segment(event, out);
      return true;
    case GST_EVENT_TAG: {
      GstTagList* tags = nullptr;
      gst_event_parse_tag(event, &tags);
      const bool global = gst_tag_list_get_scope(tags) == GST_TAG_SCOPE_GLOBAL;
      stream = {global ? body::kNameTagGlobal : body::kNameTagStream, true, {}};
      out.add(body::kTags, fabric::tag_list_to_variant(tags));
      return true;
    }
    case GST_EVENT_TOC: {
      GstToc* parsed = nullptr;
      gboolean updated = FALSE;
      gst_event_parse_toc(event, &parsed, &updated);
      const fabric::TocPtr toc{parsed};
      const bool global = gst_toc_get_scope(toc.get()) == GST_TOC_SCOPE_GLOBAL;
      stream = {global ? body::kNameTocGlobal : body::kNameTocCurrent, true, {}};
      write_toc(toc.get(), updated != FALSE, out);
      return true;
    }
    case GST_EVENT_GAP:
      stream = {body::kNameGap, false, {}};
      write_gap(event, out);
      return true;
    case GST_EVENT_EOS:
      stream = {body::kNameEos, true, {}};
      return true;
    case GST_EVENT_SEGMENT_DONE: {
      GstFormat format = GST_FORMAT_UNDEFINED;
      gint64 position = -1;
      gst_event_parse_segment_done(event, &format, &position);
      stream = {body::kNameSegmentDone, false, {}};
      add_format(out, format);
      out.add(body::kPosition, g_variant_new_int64(position));
      return true;
    }
    case GST_EVENT_STREAM_GROUP_DONE: {
      guint group_id = GST_GROUP_ID_INVALID;
      gst_event_parse_stream_group_done(event, &group_id);
      stream = {body::kNameStreamGroupDone, false, {}};
      out.add(body::kGroupId, g_variant_new_uint32(group_id));
      return true;
    }
    case GST_EVENT_INSTANT_RATE_CHANGE: {
      gdouble multiplier = 1.0;
      GstSegmentFlags flags = GST_SEGMENT_FLAG_NONE;
      gst_event_parse_instant_rate_change(event, &multiplier, &flags);
      stream = {body::kNameInstantRateChange, false, {}};
      out.add(body::kRate, g_variant_new_double(multiplier));
      out.add(body::kFlags, g_variant_new_uint32(static_cast<guint32>(flags)));
      return true;
    }
    case GST_EVENT_CUSTOM_DOWNSTREAM_STICKY: {
      const GstStructure* structure = gst_event_get_structure(event);
      if (structure == nullptr) return false;  // nothing to keep it under
      stream = {
          std::string{body::kPrefixCustomSticky} + gst_structure_get_name(structure), true, {}};
      write_structure(event, out);
      return true;
    }
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      stream = {body::kNameCustomDownstream, false, {}};
      write_structure(event, out);
      return true;
    case GST_EVENT_CUSTOM_BOTH:
      stream = {body::kNameCustomBoth, false, {}};
      write_structure(event, out);
      return true;
    case GST_EVENT_CUSTOM_UPSTREAM:
      stream = {body::kNameCustomUpstream, false, {}};
      write_structure(event, out);
      return true;
    case GST_EVENT_RECONFIGURE:
      stream = {body::kNameReconfigure, false, {}};
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<StreamEvent> fabric_event_to_stream(GstEvent* event) {
  StreamEvent stream;
  Body fields;
  if (!write_event(event, stream, fields)) {
    GST_LOG("%s stays in this process", GST_EVENT_TYPE_NAME(event));
    return std::nullopt;
  }
  fields.add(body::kSeqnum, g_variant_new_uint32(gst_event_get_seqnum(event)));
  fields.add(body::kRunningTimeOffset,
             g_variant_new_int64(gst_event_get_running_time_offset(event)));
  const fabric::VariantPtr variant = fields.end();
  if (g_variant_get_size(variant.get()) > grainfabric::kMaxEventBody) {
    GST_WARNING("%s event of %" G_GSIZE_FORMAT " bytes is too large to send",
                GST_EVENT_TYPE_NAME(event), g_variant_get_size(variant.get()));
    return std::nullopt;
  }
  fabric::append_variant(variant.get(), stream.body);
  return stream;
}
