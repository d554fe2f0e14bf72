// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "gstfabricevent.hpp"
#include "gstfabricevent_body.hpp"
#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace body = fabric::body;
using fabric::EventPtr;
using fabric::VariantPtr;

namespace {

/// The fields of a body. Each get() is false for a key that is absent or of another type.
class Fields {
 public:
  explicit Fields(VariantPtr variant) : variant_{std::move(variant)} {}

  [[nodiscard]] VariantPtr find(const char* key, const GVariantType* type = nullptr) const {
    return VariantPtr{g_variant_lookup_value(variant_.get(), key, type)};
  }
  bool get(const char* key, guint32& to) const { return get(key, "u", to, g_variant_get_uint32); }
  bool get(const char* key, guint64& to) const { return get(key, "t", to, g_variant_get_uint64); }
  bool get(const char* key, gint64& to) const { return get(key, "x", to, g_variant_get_int64); }
  bool get(const char* key, gdouble& to) const { return get(key, "d", to, g_variant_get_double); }
  bool get(const char* key, bool& to) const { return get(key, "b", to, g_variant_get_boolean); }
  bool get(const char* key, std::string& to) const {
    const VariantPtr value = find(key, G_VARIANT_TYPE_STRING);
    if (value) to = g_variant_get_string(value.get(), nullptr);
    return value != nullptr;
  }
  /// Of a registered format; never GST_FORMAT_UNDEFINED.
  bool get(const char* key, GstFormat& to) const {
    std::string nick;
    if (!get(key, nick)) return false;
    to = gst_format_get_by_nick(nick.c_str());
    return to != GST_FORMAT_UNDEFINED;
  }

 private:
  template <typename T, typename Getter>
  bool get(const char* key, const char* type, T& to, Getter getter) const {
    const VariantPtr value = find(key, G_VARIANT_TYPE(type));
    if (value) to = static_cast<T>(getter(value.get()));
    return value != nullptr;
  }
  VariantPtr variant_;
};

EventPtr read_stream_start(const Fields& in) {
  std::string stream_id;
  guint32 flags = 0;
  if (!in.get(body::kStreamId, stream_id) || stream_id.empty()) return nullptr;
  if (!in.get(body::kFlags, flags)) return nullptr;
  EventPtr event{gst_event_new_stream_start(stream_id.c_str())};
  constexpr guint32 kKnown =
      GST_STREAM_FLAG_SPARSE | GST_STREAM_FLAG_SELECT | GST_STREAM_FLAG_UNSELECT;
  gst_event_set_stream_flags(event.get(), static_cast<GstStreamFlags>(flags & kKnown));
  guint32 group_id = GST_GROUP_ID_INVALID;
  if (in.get(body::kGroupId, group_id) && group_id != GST_GROUP_ID_INVALID) {
    gst_event_set_group_id(event.get(), group_id);
  }
  return event;
}

EventPtr read_caps(const Fields& in) {
  const VariantPtr variant = in.find(body::kCaps);
  const fabric::CapsPtr caps = variant ? fabric::caps_from_variant(variant.get()) : nullptr;
  if (!caps || !gst_caps_is_fixed(caps.get())) return nullptr;
  return EventPtr{gst_event_new_caps(caps.get())};
}

/// What the functions of GstSegment and its constructor assert.
bool is_usable(const GstSegment& segment) {
  const auto is_rate = [](double rate) { return std::isfinite(rate) && rate != 0.0; };
  constexpr guint64 kNone = GST_CLOCK_TIME_NONE;
  if (!is_rate(segment.rate) || !is_rate(segment.applied_rate)) return false;
  if (segment.start == kNone || segment.base == kNone || segment.offset == kNone) return false;
  if (segment.stop != kNone && segment.start > segment.stop) return false;
  return segment.rate > 0.0 || (segment.stop != kNone && segment.offset <= segment.stop);
}

EventPtr read_segment(const Fields& in) {
  GstFormat format = GST_FORMAT_UNDEFINED;
  guint32 flags = 0;
  if (!in.get(body::kFormat, format) || !in.get(body::kFlags, flags)) return nullptr;
  GstSegment segment;
  gst_segment_init(&segment, format);
  segment.flags = static_cast<GstSegmentFlags>(flags);
  const bool complete =
      in.get(body::kRate, segment.rate) && in.get(body::kAppliedRate, segment.applied_rate) &&
      in.get(body::kBase, segment.base) && in.get(body::kOffset, segment.offset) &&
      in.get(body::kStart, segment.start) && in.get(body::kStop, segment.stop) &&
      in.get(body::kTime, segment.time) && in.get(body::kPosition, segment.position) &&
      in.get(body::kDuration, segment.duration);
  if (!complete || !is_usable(segment)) return nullptr;
  return EventPtr{gst_event_new_segment(&segment)};
}

EventPtr read_tag(const Fields& in, GstTagScope scope) {
  const VariantPtr variant = in.find(body::kTags);
  fabric::TagListPtr tags = variant ? fabric::tag_list_from_variant(variant.get()) : nullptr;
  if (!tags || gst_tag_list_get_scope(tags.get()) != scope) return nullptr;
  return EventPtr{gst_event_new_tag(tags.release())};
}

EventPtr read_gap(const Fields& in) {
  GstClockTime timestamp = GST_CLOCK_TIME_NONE;
  GstClockTime duration = GST_CLOCK_TIME_NONE;
  guint32 flags = 0;
  if (!in.get(body::kTimestamp, timestamp) || !in.get(body::kDuration, duration) ||
      !in.get(body::kFlags, flags) || !GST_CLOCK_TIME_IS_VALID(timestamp)) {
    return nullptr;
  }
  EventPtr event{gst_event_new_gap(timestamp, duration)};
  gst_event_set_gap_flags(event.get(),
                          static_cast<GstGapFlags>(flags & guint32{GST_GAP_FLAG_MISSING_DATA}));
  return event;
}

EventPtr read_segment_done(const Fields& in) {
  GstFormat format = GST_FORMAT_UNDEFINED;
  gint64 position = -1;
  if (!in.get(body::kFormat, format) || !in.get(body::kPosition, position)) return nullptr;
  return EventPtr{gst_event_new_segment_done(format, position)};
}

EventPtr read_stream_group_done(const Fields& in) {
  guint32 group_id = GST_GROUP_ID_INVALID;
  if (!in.get(body::kGroupId, group_id) || group_id == GST_GROUP_ID_INVALID) return nullptr;
  return EventPtr{gst_event_new_stream_group_done(group_id)};
}

EventPtr read_instant_rate_change(const Fields& in) {
  gdouble multiplier = 0.0;
  guint32 flags = 0;
  if (!in.get(body::kRate, multiplier) || !in.get(body::kFlags, flags)) return nullptr;
  if (!std::isfinite(multiplier) || multiplier == 0.0) return nullptr;
  const auto known = static_cast<GstSegmentFlags>(flags & guint32{GST_SEGMENT_INSTANT_FLAGS});
  return EventPtr{gst_event_new_instant_rate_change(multiplier, known)};
}

fabric::TocEntryPtr read_toc_entry(GVariant* boxed, unsigned depth);

/// Gives each entry to `append`; false when one makes no sense.
template <typename Append>
bool read_toc_entries(GVariant* entries, unsigned depth, Append append) {
  const gsize count = g_variant_n_children(entries);
  for (gsize i = 0; i < count; ++i) {
    const VariantPtr boxed{g_variant_get_child_value(entries, i)};
    fabric::TocEntryPtr entry = read_toc_entry(boxed.get(), depth);
    if (!entry) return false;
    append(entry.release());
  }
  return true;
}

fabric::TocEntryPtr read_toc_entry(GVariant* boxed, unsigned depth) {
  const VariantPtr variant{g_variant_get_variant(boxed)};
  if (depth > body::kMaxTocDepth ||
      !g_variant_is_of_type(variant.get(), G_VARIANT_TYPE(body::kTocEntryType))) {
    return nullptr;
  }
  gint type = 0;
  const char* uid = nullptr;
  gint64 start = -1;
  gint64 stop = -1;
  gint loop = 0;
  gint repeats = 0;
  GVariant* lent_tags = nullptr;
  GVariant* lent_entries = nullptr;
  g_variant_get(variant.get(), "(i&sxxii@(ba(ssv))@av)", &type, &uid, &start, &stop, &loop,
                &repeats, &lent_tags, &lent_entries);
  const VariantPtr tags_variant{lent_tags};
  const VariantPtr entries{lent_entries};
  if (type < GST_TOC_ENTRY_TYPE_ANGLE || type > GST_TOC_ENTRY_TYPE_CHAPTER) return nullptr;
  if (loop < GST_TOC_LOOP_NONE || loop > GST_TOC_LOOP_PING_PONG) return nullptr;
  fabric::TagListPtr tags = fabric::tag_list_from_variant(tags_variant.get());
  if (!tags) return nullptr;
  fabric::TocEntryPtr entry{gst_toc_entry_new(static_cast<GstTocEntryType>(type), uid)};
  gst_toc_entry_set_start_stop_times(entry.get(), start, stop);
  gst_toc_entry_set_loop(entry.get(), static_cast<GstTocLoopType>(loop), repeats);
  if (!gst_tag_list_is_empty(tags.get())) gst_toc_entry_set_tags(entry.get(), tags.release());
  const bool good = read_toc_entries(entries.get(), depth + 1, [&](GstTocEntry* sub_entry) {
    gst_toc_entry_append_sub_entry(entry.get(), sub_entry);
  });
  return good ? std::move(entry) : nullptr;
}

EventPtr read_toc(const Fields& in, GstTocScope scope) {
  bool updated = false;
  const VariantPtr entries = in.find(body::kEntries, G_VARIANT_TYPE("av"));
  if (!entries || !in.get(body::kUpdated, updated)) return nullptr;
  const fabric::TocPtr toc{gst_toc_new(scope)};
  if (const VariantPtr variant = in.find(body::kTags)) {
    fabric::TagListPtr tags = fabric::tag_list_from_variant(variant.get());
    if (!tags) return nullptr;
    gst_toc_set_tags(toc.get(), tags.release());
  }
  const bool good = read_toc_entries(
      entries.get(), 0, [&](GstTocEntry* entry) { gst_toc_append_entry(toc.get(), entry); });
  return good ? EventPtr{gst_event_new_toc(toc.get(), updated)} : nullptr;
}

EventPtr read_custom(const Fields& in, GstEventType type) {
  const VariantPtr variant = in.find(body::kStructure);
  if (!variant) return EventPtr{gst_event_new_custom(type, nullptr)};
  fabric::StructurePtr structure = fabric::structure_from_variant(variant.get());
  if (!structure) return nullptr;
  return EventPtr{gst_event_new_custom(type, structure.release())};
}

EventPtr read_custom_sticky(const Fields& in, std::string_view name) {
  EventPtr event = read_custom(in, GST_EVENT_CUSTOM_DOWNSTREAM_STICKY);
  const GstStructure* structure = event ? gst_event_get_structure(event.get()) : nullptr;
  if (structure == nullptr || name != gst_structure_get_name(structure)) return nullptr;
  return event;
}

struct Kind {
  std::string_view name;
  EventPtr (*read)(const Fields& in);
};

constexpr std::array<Kind, 16> kKinds{{
    {body::kNameStreamStart, read_stream_start},
    {body::kNameCaps, read_caps},
    {body::kNameSegment, read_segment},
    {body::kNameTagStream, [](const Fields& in) { return read_tag(in, GST_TAG_SCOPE_STREAM); }},
    {body::kNameTagGlobal, [](const Fields& in) { return read_tag(in, GST_TAG_SCOPE_GLOBAL); }},
    {body::kNameTocCurrent, [](const Fields& in) { return read_toc(in, GST_TOC_SCOPE_CURRENT); }},
    {body::kNameTocGlobal, [](const Fields& in) { return read_toc(in, GST_TOC_SCOPE_GLOBAL); }},
    {body::kNameEos, [](const Fields&) { return EventPtr{gst_event_new_eos()}; }},
    {body::kNameGap, read_gap},
    {body::kNameSegmentDone, read_segment_done},
    {body::kNameStreamGroupDone, read_stream_group_done},
    {body::kNameInstantRateChange, read_instant_rate_change},
    {body::kNameReconfigure, [](const Fields&) { return EventPtr{gst_event_new_reconfigure()}; }},
    {body::kNameCustomDownstream,
     [](const Fields& in) { return read_custom(in, GST_EVENT_CUSTOM_DOWNSTREAM); }},
    {body::kNameCustomBoth,
     [](const Fields& in) { return read_custom(in, GST_EVENT_CUSTOM_BOTH); }},
    {body::kNameCustomUpstream,
     [](const Fields& in) { return read_custom(in, GST_EVENT_CUSTOM_UPSTREAM); }},
}};

EventPtr read_event(std::string_view name, const Fields& in) {
  const std::string_view prefix{body::kPrefixCustomSticky};
  if (name.starts_with(prefix)) return read_custom_sticky(in, name.substr(prefix.size()));
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& candidate) { return candidate.name == name; });
  return kind == kKinds.end() ? nullptr : kind->read(in);
}

}  // namespace

GstEvent* fabric_event_from_stream(const grainfabric::StreamEvent& stream) {
  if (stream.body.size() > grainfabric::kMaxEventBody) return nullptr;
  VariantPtr variant = fabric::read_variant(G_VARIANT_TYPE_VARDICT, stream.body);
  if (!variant) return nullptr;
  const Fields fields{std::move(variant)};
  EventPtr event = read_event(stream.name, fields);
  guint32 seqnum = GST_SEQNUM_INVALID;
  gint64 offset = 0;
  if (!event || !fields.get(body::kSeqnum, seqnum) ||
      !fields.get(body::kRunningTimeOffset, offset)) {
    GST_DEBUG("no sense in an event '%s' of a peer", stream.name.c_str());
    return nullptr;
  }
  if (seqnum != GST_SEQNUM_INVALID) gst_event_set_seqnum(event.get(), seqnum);
  gst_event_set_running_time_offset(event.get(), offset);
  return event.release();
}
