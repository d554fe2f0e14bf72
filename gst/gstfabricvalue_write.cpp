// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace fabric {
namespace {

/// A value on its way out: the name of its kind and its payload.
struct Encoded {
  const char* kind;
  VariantPtr payload;
};
using MaybeEncoded = std::optional<Encoded>;

Encoded encoded(const char* kind, GVariant* payload) {
  return {kind, VariantPtr{g_variant_ref_sink(payload)}};
}

MaybeEncoded encode_value(const GValue* value, unsigned depth);
VariantPtr encode_structure(const GstStructure* structure, unsigned depth);
VariantPtr encode_caps(const GstCaps* caps, unsigned depth);
VariantPtr encode_tag_list(const GstTagList* tags, unsigned depth);

bool is_utf8(const char* text) {
  return g_utf8_validate(text, -1, nullptr) != FALSE;
}

GVariant* encode_bytes(gconstpointer data, gsize size) {
  return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, data, size, 1);
}

VariantPtr encode_buffer(GstBuffer* buffer) {
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) return nullptr;
  GVariant* bytes = encode_bytes(map.data, map.size);
  gst_buffer_unmap(buffer, &map);
  return VariantPtr{g_variant_ref_sink(
      g_variant_new("(@aytttttu)", bytes, GST_BUFFER_PTS(buffer), GST_BUFFER_DTS(buffer),
                    GST_BUFFER_DURATION(buffer), GST_BUFFER_OFFSET(buffer),
                    GST_BUFFER_OFFSET_END(buffer), GST_BUFFER_FLAGS(buffer)))};
}

GVariant* encode_maybe(const VariantPtr& value) {
  return g_variant_new_maybe(G_VARIANT_TYPE_VARIANT,
                             value ? g_variant_new_variant(value.get()) : nullptr);
}

Encoded encode_sample(GstSample* sample, unsigned depth) {
  VariantPtr buffer;
  VariantPtr caps;
  VariantPtr info;
  if (GstBuffer* held = gst_sample_get_buffer(sample)) buffer = encode_buffer(held);
  if (const GstCaps* held = gst_sample_get_caps(sample)) caps = encode_caps(held, depth);
  if (const GstStructure* held = gst_sample_get_info(sample)) info = encode_structure(held, depth);
  return encoded("sample", g_variant_new("(@mv@mv@mv)", encode_maybe(buffer), encode_maybe(caps),
                                         encode_maybe(info)));
}

/// Lists and arrays; an element that cannot travel is left out.
template <typename Size, typename At>
Encoded encode_elements(const char* kind, const GValue* value, unsigned depth, Size size, At at) {
  GVariantBuilder builder;
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(sv)"));
  for (guint i = 0; i < size(value); ++i) {
    if (const MaybeEncoded element = encode_value(at(value, i), depth + 1)) {
      g_variant_builder_add(&builder, "(sv)", element->kind, element->payload.get());
    }
  }
  return encoded(kind, g_variant_builder_end(&builder));
}

MaybeEncoded encode_enum(const GValue* value) {
  const TypeClassPtr type_class{static_cast<GTypeClass*>(g_type_class_ref(G_VALUE_TYPE(value)))};
  const GEnumValue* entry =
      g_enum_get_value(G_ENUM_CLASS(type_class.get()), g_value_get_enum(value));
  if (entry == nullptr) return std::nullopt;
  return encoded("enum", g_variant_new("(ss)", G_VALUE_TYPE_NAME(value), entry->value_nick));
}

MaybeEncoded encode_date_time(const GstDateTime* date_time) {
  // GstDateTime takes no zone beyond twelve hours, unlike GDateTime.
  constexpr float kMaxZone = 12.0F;
  const bool has_time = gst_date_time_has_time(date_time) != FALSE;
  const float zone = has_time ? gst_date_time_get_time_zone_offset(date_time) : 0.0F;
  if (zone < -kMaxZone || zone > kMaxZone) return std::nullopt;
  double seconds = -1.0;
  if (gst_date_time_has_second(date_time)) {
    seconds = gst_date_time_get_second(date_time) + gst_date_time_get_microsecond(date_time) / 1e6;
  }
  return encoded(
      "date-time",
      g_variant_new("(iiiiidd)", gst_date_time_get_year(date_time),
                    gst_date_time_has_month(date_time) ? gst_date_time_get_month(date_time) : -1,
                    gst_date_time_has_day(date_time) ? gst_date_time_get_day(date_time) : -1,
                    has_time ? gst_date_time_get_hour(date_time) : -1,
                    has_time ? gst_date_time_get_minute(date_time) : -1, seconds, double{zone}));
}

/// Types that GLib numbers itself: one branch each in a switch.
MaybeEncoded encode_fundamental(const GValue* value) {
  switch (G_VALUE_TYPE(value)) {
    case G_TYPE_BOOLEAN:
      return encoded("boolean", g_variant_new_boolean(g_value_get_boolean(value)));
    case G_TYPE_CHAR:
      return encoded("char", g_variant_new_int32(g_value_get_schar(value)));
    case G_TYPE_UCHAR:
      return encoded("uchar", g_variant_new_uint32(g_value_get_uchar(value)));
    case G_TYPE_INT:
      return encoded("int", g_variant_new_int32(g_value_get_int(value)));
    case G_TYPE_UINT:
      return encoded("uint", g_variant_new_uint32(g_value_get_uint(value)));
    case G_TYPE_LONG:
      return encoded("long", g_variant_new_int64(g_value_get_long(value)));
    case G_TYPE_ULONG:
      return encoded("ulong", g_variant_new_uint64(g_value_get_ulong(value)));
    case G_TYPE_INT64:
      return encoded("int64", g_variant_new_int64(g_value_get_int64(value)));
    case G_TYPE_UINT64:
      return encoded("uint64", g_variant_new_uint64(g_value_get_uint64(value)));
    case G_TYPE_FLOAT:
      return encoded("float", g_variant_new_double(double{g_value_get_float(value)}));
    case G_TYPE_DOUBLE:
      return encoded("double", g_variant_new_double(g_value_get_double(value)));
    case G_TYPE_STRING: {
      const char* text = g_value_get_string(value);
      if (text != nullptr && !is_utf8(text)) return std::nullopt;
      return encoded("string", g_variant_new("ms", text));
    }
    default:
      return std::nullopt;
  }
}

MaybeEncoded encode_range(const GValue* value) {
  const GType type = G_VALUE_TYPE(value);
  if (type == GST_TYPE_INT_RANGE) {
    return encoded("int-range", g_variant_new("(iii)", gst_value_get_int_range_min(value),
                                              gst_value_get_int_range_max(value),
                                              gst_value_get_int_range_step(value)));
  }
  if (type == GST_TYPE_INT64_RANGE) {
    return encoded("int64-range", g_variant_new("(xxx)", gst_value_get_int64_range_min(value),
                                                gst_value_get_int64_range_max(value),
                                                gst_value_get_int64_range_step(value)));
  }
  if (type == GST_TYPE_DOUBLE_RANGE) {
    return encoded("double-range", g_variant_new("(dd)", gst_value_get_double_range_min(value),
                                                 gst_value_get_double_range_max(value)));
  }
  if (type == GST_TYPE_FRACTION_RANGE) {
    const GValue* low = gst_value_get_fraction_range_min(value);
    const GValue* high = gst_value_get_fraction_range_max(value);
    return encoded("fraction-range", g_variant_new("(iiii)", gst_value_get_fraction_numerator(low),
                                                   gst_value_get_fraction_denominator(low),
                                                   gst_value_get_fraction_numerator(high),
                                                   gst_value_get_fraction_denominator(high)));
  }
  return std::nullopt;
}

/// The boxed types; a boxed value may be NULL, which does not travel.
MaybeEncoded encode_boxed(const GValue* value, unsigned depth) {
  const GType type = G_VALUE_TYPE(value);
  gpointer boxed = g_value_get_boxed(value);
  if (boxed == nullptr) return std::nullopt;
  if (type == GST_TYPE_STRUCTURE) {
    return Encoded{"structure", encode_structure(static_cast<GstStructure*>(boxed), depth + 1)};
  }
  if (type == GST_TYPE_CAPS) {
    return Encoded{"caps", encode_caps(static_cast<GstCaps*>(boxed), depth + 1)};
  }
  if (type == GST_TYPE_TAG_LIST) {
    return Encoded{"tag-list", encode_tag_list(static_cast<GstTagList*>(boxed), depth + 1)};
  }
  if (type == GST_TYPE_SAMPLE) return encode_sample(static_cast<GstSample*>(boxed), depth + 1);
  if (type == GST_TYPE_BUFFER) {
    VariantPtr buffer = encode_buffer(static_cast<GstBuffer*>(boxed));
    if (!buffer) return std::nullopt;
    return Encoded{"buffer", std::move(buffer)};
  }
  if (type == GST_TYPE_DATE_TIME) return encode_date_time(static_cast<GstDateTime*>(boxed));
  if (type == G_TYPE_DATE_TIME) {
    auto* date_time = static_cast<GDateTime*>(boxed);
    return encoded("g-date-time", g_variant_new("(xi)", date_time_to_unix(date_time),
                                                date_time_utc_offset(date_time)));
  }
  if (type == G_TYPE_DATE) {
    const auto* date = static_cast<GDate*>(boxed);
    if (!g_date_valid(date)) return std::nullopt;
    return encoded("date",
                   g_variant_new("(yyq)", g_date_get_day(date),
                                 static_cast<int>(g_date_get_month(date)), g_date_get_year(date)));
  }
  if (type == G_TYPE_BYTES) {
    gsize size = 0;
    gconstpointer data = g_bytes_get_data(static_cast<GBytes*>(boxed), &size);
    return encoded("bytes", encode_bytes(data, size));
  }
  if (type == G_TYPE_STRV) {
    auto* strings = static_cast<gchar**>(boxed);
    const gsize count = g_strv_length(strings);
    if (!std::all_of(strings, strings + count, is_utf8)) return std::nullopt;
    return encoded("strv", g_variant_new_strv(strings, static_cast<gssize>(count)));
  }
  return std::nullopt;
}

MaybeEncoded encode_value(const GValue* value, unsigned depth) {
  if (depth > kMaxValueDepth) return std::nullopt;
  const GType type = G_VALUE_TYPE(value);
  if (MaybeEncoded plain = encode_fundamental(value)) return plain;
  if (MaybeEncoded range = encode_range(value)) return range;
  if (type == GST_TYPE_FRACTION) {
    return encoded("fraction", g_variant_new("(ii)", gst_value_get_fraction_numerator(value),
                                             gst_value_get_fraction_denominator(value)));
  }
  if (type == GST_TYPE_BITMASK) {
    return encoded("bitmask", g_variant_new_uint64(gst_value_get_bitmask(value)));
  }
  if (type == GST_TYPE_FLAG_SET) {
    return encoded("flag-set", g_variant_new("(uu)", gst_value_get_flagset_flags(value),
                                             gst_value_get_flagset_mask(value)));
  }
  if (type == GST_TYPE_LIST) {
    return encode_elements("list", value, depth, gst_value_list_get_size, gst_value_list_get_value);
  }
  if (type == GST_TYPE_ARRAY) {
    return encode_elements("array", value, depth, gst_value_array_get_size,
                           gst_value_array_get_value);
  }
  if (type == G_TYPE_GTYPE) {
    const char* name = g_type_name(g_value_get_gtype(value));
    if (name == nullptr) return std::nullopt;
    return encoded("gtype", g_variant_new_string(name));
  }
  if (G_TYPE_IS_ENUM(type)) return encode_enum(value);
  if (G_TYPE_IS_FLAGS(type)) {
    return encoded("flags", g_variant_new("(su)", g_type_name(type), g_value_get_flags(value)));
  }
  if (G_VALUE_HOLDS_BOXED(value)) return encode_boxed(value, depth);
  return std::nullopt;
}

void add_field(GVariantBuilder* fields, const char* name, const GValue* value, unsigned depth) {
  const MaybeEncoded field = is_utf8(name) ? encode_value(value, depth) : std::nullopt;
  if (field) {
    g_variant_builder_add(fields, "(ssv)", name, field->kind, field->payload.get());
  } else {
    GST_DEBUG("field '%s' of type %s means nothing to a peer", name, G_VALUE_TYPE_NAME(value));
  }
}

struct Fields {
  GVariantBuilder builder;
  unsigned depth;
};

VariantPtr encode_structure(const GstStructure* structure, unsigned depth) {
  Fields fields{{}, depth};
  g_variant_builder_init(&fields.builder, G_VARIANT_TYPE("a(ssv)"));
  for (gint i = 0; i < gst_structure_n_fields(structure); ++i) {
    const char* name = gst_structure_nth_field_name(structure, static_cast<guint>(i));
    add_field(&fields.builder, name, gst_structure_get_value(structure, name), depth);
  }
  return VariantPtr{g_variant_ref_sink(
      g_variant_new("(sa(ssv))", gst_structure_get_name(structure), &fields.builder))};
}

VariantPtr encode_caps(const GstCaps* caps, unsigned depth) {
  GVariantBuilder structures;
  g_variant_builder_init(&structures, G_VARIANT_TYPE("a(bas(sa(ssv)))"));
  for (guint i = 0; i < gst_caps_get_size(caps); ++i) {
    const GstCapsFeatures* features = gst_caps_get_features(caps, i);
    const bool any = features != nullptr && gst_caps_features_is_any(features);
    GVariantBuilder names;
    g_variant_builder_init(&names, G_VARIANT_TYPE_STRING_ARRAY);
    for (guint j = 0; features != nullptr && !any && j < gst_caps_features_get_size(features);
         ++j) {
      g_variant_builder_add(&names, "s", gst_caps_features_get_nth(features, j));
    }
    const VariantPtr structure = encode_structure(gst_caps_get_structure(caps, i), depth);
    g_variant_builder_add(&structures, "(bas@(sa(ssv)))", gboolean{any}, &names, structure.get());
  }
  return VariantPtr{
      g_variant_ref_sink(g_variant_new("(ba(bas(sa(ssv))))", gst_caps_is_any(caps), &structures))};
}

VariantPtr encode_tag_list(const GstTagList* tags, unsigned depth) {
  Fields fields{{}, depth};
  g_variant_builder_init(&fields.builder, G_VARIANT_TYPE("a(ssv)"));
  gst_tag_list_foreach(
      tags,
      [](const GstTagList* list, const gchar* tag, gpointer data) {
        auto* out = static_cast<Fields*>(data);
        for (guint i = 0; i < gst_tag_list_get_tag_size(list, tag); ++i) {
          add_field(&out->builder, tag, gst_tag_list_get_value_index(list, tag, i), out->depth);
        }
      },
      &fields);
  return VariantPtr{g_variant_ref_sink(
      g_variant_new("(ba(ssv))", gboolean{gst_tag_list_get_scope(tags) == GST_TAG_SCOPE_GLOBAL},
                    &fields.builder))};
}

}  // namespace

GstDebugCategory* codec_category() {
  static GstDebugCategory* const category = _gst_debug_category_new(
      "fabriccodec", 0, "Events and metas of a grain stream as bytes and back");
  return category;
}

VariantPtr structure_to_variant(const GstStructure* structure) {
  return encode_structure(structure, 0);
}
VariantPtr caps_to_variant(const GstCaps* caps) {
  return encode_caps(caps, 0);
}
VariantPtr tag_list_to_variant(const GstTagList* tags) {
  return encode_tag_list(tags, 0);
}

void append_variant(GVariant* variant, std::vector<std::byte>& out) {
  VariantPtr normal{g_variant_get_normal_form(variant)};
  if constexpr (G_BYTE_ORDER == G_BIG_ENDIAN) normal.reset(g_variant_byteswap(normal.get()));
  const auto* data = static_cast<const std::byte*>(g_variant_get_data(normal.get()));
  if (data != nullptr) out.insert(out.end(), data, data + g_variant_get_size(normal.get()));
}

gint64 date_time_to_unix(GDateTime* date_time) {
  return g_date_time_to_unix(date_time) * G_USEC_PER_SEC + g_date_time_get_microsecond(date_time);
}

gint32 date_time_utc_offset(GDateTime* date_time) {
  return static_cast<gint32>(g_date_time_get_utc_offset(date_time) / G_USEC_PER_SEC);
}

}  // namespace fabric
