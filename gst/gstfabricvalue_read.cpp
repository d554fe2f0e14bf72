// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace fabric {
namespace {

/// What became of one value: `unknown` leaves out the field, `malformed` the whole.
enum class Outcome { ok, unknown, malformed };

Outcome decode_value(std::string_view kind, GVariant* payload, Value& out, unsigned depth);
StructurePtr decode_structure(GVariant* variant, unsigned depth);
CapsPtr decode_caps(GVariant* variant, unsigned depth);
TagListPtr decode_tag_list(GVariant* variant, unsigned depth);

bool holds(GVariant* variant, const char* type) {
  return g_variant_is_of_type(variant, G_VARIANT_TYPE(type)) != FALSE;
}

VariantPtr child(GVariant* variant, gsize index) {
  return VariantPtr{g_variant_get_child_value(variant, index)};
}

/// In the form GStreamer gives it: the sign on the numerator, and one that has an absolute value.
bool is_fraction(gint numerator, gint denominator) {
  return denominator > 0 && numerator > std::numeric_limits<gint>::min();
}

template <typename T>
bool is_stepped_range(T first, T last, T step) {
  return first < last && step > 0 && first % step == 0 && last % step == 0;
}

Outcome decode_fundamental(std::string_view kind, GVariant* in, Value& out) {
  GValue* value = out.get();
  if (kind == "boolean" && holds(in, "b")) {
    g_value_set_boolean(g_value_init(value, G_TYPE_BOOLEAN), g_variant_get_boolean(in));
  } else if (kind == "int" && holds(in, "i")) {
    g_value_set_int(g_value_init(value, G_TYPE_INT), g_variant_get_int32(in));
  } else if (kind == "uint" && holds(in, "u")) {
    g_value_set_uint(g_value_init(value, G_TYPE_UINT), g_variant_get_uint32(in));
  } else if (kind == "char" && holds(in, "i")) {
    g_value_set_schar(g_value_init(value, G_TYPE_CHAR),
                      static_cast<gint8>(g_variant_get_int32(in)));
  } else if (kind == "uchar" && holds(in, "u")) {
    g_value_set_uchar(g_value_init(value, G_TYPE_UCHAR),
                      static_cast<guchar>(g_variant_get_uint32(in)));
  } else if (kind == "long" && holds(in, "x")) {
    g_value_set_long(g_value_init(value, G_TYPE_LONG), static_cast<glong>(g_variant_get_int64(in)));
  } else if (kind == "ulong" && holds(in, "t")) {
    g_value_set_ulong(g_value_init(value, G_TYPE_ULONG),
                      static_cast<gulong>(g_variant_get_uint64(in)));
  } else if (kind == "int64" && holds(in, "x")) {
    g_value_set_int64(g_value_init(value, G_TYPE_INT64), g_variant_get_int64(in));
  } else if (kind == "uint64" && holds(in, "t")) {
    g_value_set_uint64(g_value_init(value, G_TYPE_UINT64), g_variant_get_uint64(in));
  } else if (kind == "float" && holds(in, "d")) {
    const double number = g_variant_get_double(in);
    if (std::isfinite(number) && std::abs(number) > double{std::numeric_limits<float>::max()}) {
      return Outcome::malformed;
    }
    g_value_set_float(g_value_init(value, G_TYPE_FLOAT), static_cast<float>(number));
  } else if (kind == "double" && holds(in, "d")) {
    g_value_set_double(g_value_init(value, G_TYPE_DOUBLE), g_variant_get_double(in));
  } else if (kind == "string" && holds(in, "ms")) {
    const VariantPtr text{g_variant_get_maybe(in)};
    g_value_set_string(g_value_init(value, G_TYPE_STRING),
                       text ? g_variant_get_string(text.get(), nullptr) : nullptr);
  } else if (kind == "bitmask" && holds(in, "t")) {
    gst_value_set_bitmask(g_value_init(value, GST_TYPE_BITMASK), g_variant_get_uint64(in));
  } else {
    return Outcome::unknown;
  }
  return Outcome::ok;
}

Outcome decode_number_set(std::string_view kind, GVariant* in, Value& out) {
  GValue* value = out.get();
  if (kind == "fraction" && holds(in, "(ii)")) {
    gint n = 0;
    gint d = 0;
    g_variant_get(in, "(ii)", &n, &d);
    if (!is_fraction(n, d)) return Outcome::malformed;
    gst_value_set_fraction(g_value_init(value, GST_TYPE_FRACTION), n, d);
  } else if (kind == "flag-set" && holds(in, "(uu)")) {
    guint flags = 0;
    guint mask = 0;
    g_variant_get(in, "(uu)", &flags, &mask);
    gst_value_set_flagset(g_value_init(value, GST_TYPE_FLAG_SET), flags, mask);
  } else if (kind == "int-range" && holds(in, "(iii)")) {
    gint first = 0;
    gint last = 0;
    gint step = 0;
    g_variant_get(in, "(iii)", &first, &last, &step);
    if (!is_stepped_range(first, last, step)) return Outcome::malformed;
    gst_value_set_int_range_step(g_value_init(value, GST_TYPE_INT_RANGE), first, last, step);
  } else if (kind == "int64-range" && holds(in, "(xxx)")) {
    gint64 first = 0;
    gint64 last = 0;
    gint64 step = 0;
    g_variant_get(in, "(xxx)", &first, &last, &step);
    if (!is_stepped_range(first, last, step)) return Outcome::malformed;
    gst_value_set_int64_range_step(g_value_init(value, GST_TYPE_INT64_RANGE), first, last, step);
  } else if (kind == "double-range" && holds(in, "(dd)")) {
    double low = 0;
    double high = 0;
    g_variant_get(in, "(dd)", &low, &high);
    if (!(low < high)) return Outcome::malformed;
    gst_value_set_double_range(g_value_init(value, GST_TYPE_DOUBLE_RANGE), low, high);
  } else if (kind == "fraction-range" && holds(in, "(iiii)")) {
    std::array<gint, 4> n{};
    g_variant_get(in, "(iiii)", &n[0], &n[1], &n[2], &n[3]);
    if (!is_fraction(n[0], n[1]) || !is_fraction(n[2], n[3])) return Outcome::malformed;
    if (gst_util_fraction_compare(n[0], n[1], n[2], n[3]) >= 0) return Outcome::malformed;
    gst_value_set_fraction_range_full(g_value_init(value, GST_TYPE_FRACTION_RANGE), n[0], n[1],
                                      n[2], n[3]);
  } else {
    return Outcome::unknown;
  }
  return Outcome::ok;
}

/// Types by name: only those that this process has already.
Outcome decode_named(std::string_view kind, GVariant* in, Value& out) {
  if (kind == "gtype" && holds(in, "s")) {
    const GType type = g_type_from_name(g_variant_get_string(in, nullptr));
    if (type == G_TYPE_INVALID) return Outcome::unknown;
    g_value_set_gtype(g_value_init(out.get(), G_TYPE_GTYPE), type);
    return Outcome::ok;
  }
  const char* name = nullptr;
  if (kind == "enum" && holds(in, "(ss)")) {
    const char* nick = nullptr;
    g_variant_get(in, "(&s&s)", &name, &nick);
    const GType type = g_type_from_name(name);
    if (!G_TYPE_IS_ENUM(type) || G_TYPE_IS_ABSTRACT(type) || type == G_TYPE_ENUM) {
      return Outcome::unknown;
    }
    const TypeClassPtr type_class{static_cast<GTypeClass*>(g_type_class_ref(type))};
    const GEnumValue* entry = g_enum_get_value_by_nick(G_ENUM_CLASS(type_class.get()), nick);
    if (entry == nullptr) return Outcome::unknown;
    g_value_set_enum(g_value_init(out.get(), type), entry->value);
    return Outcome::ok;
  }
  if (kind == "flags" && holds(in, "(su)")) {
    guint bits = 0;
    g_variant_get(in, "(&su)", &name, &bits);
    const GType type = g_type_from_name(name);
    if (!G_TYPE_IS_FLAGS(type) || G_TYPE_IS_ABSTRACT(type) || type == G_TYPE_FLAGS) {
      return Outcome::unknown;
    }
    const TypeClassPtr type_class{static_cast<GTypeClass*>(g_type_class_ref(type))};
    g_value_set_flags(g_value_init(out.get(), type), bits & G_FLAGS_CLASS(type_class.get())->mask);
    return Outcome::ok;
  }
  return Outcome::unknown;
}

/// The type that GStreamer compares when it adds to a list: that of the innermost first element,
/// where a range counts as what it ranges over. Invalid for an empty list, which fits all.
GType element_type(const GValue* value) {
  if (GST_VALUE_HOLDS_LIST(value)) {
    if (gst_value_list_get_size(value) == 0) return G_TYPE_INVALID;
    return element_type(gst_value_list_get_value(value, 0));
  }
  if (GST_VALUE_HOLDS_ARRAY(value)) {
    if (gst_value_array_get_size(value) == 0) return G_TYPE_INVALID;
    return element_type(gst_value_array_get_value(value, 0));
  }
  if (GST_VALUE_HOLDS_INT_RANGE(value)) return G_TYPE_INT;
  if (GST_VALUE_HOLDS_INT64_RANGE(value)) return G_TYPE_INT64;
  if (GST_VALUE_HOLDS_DOUBLE_RANGE(value)) return G_TYPE_DOUBLE;
  if (GST_VALUE_HOLDS_FRACTION_RANGE(value)) return GST_TYPE_FRACTION;
  return G_VALUE_TYPE(value);
}

/// Appending what does not fit is a critical.
bool fits(const GValue* list, const GValue* element) {
  const GType have = element_type(list);
  const GType add = element_type(element);
  return have == G_TYPE_INVALID || add == G_TYPE_INVALID || have == add;
}

Outcome decode_elements(GVariant* in, Value& out, unsigned depth, GType type,
                        void (*append)(GValue*, GValue*)) {
  if (!holds(in, "a(sv)")) return Outcome::malformed;
  g_value_init(out.get(), type);
  const gsize count = g_variant_n_children(in);
  for (gsize i = 0; i < count; ++i) {
    const VariantPtr entry = child(in, i);
    const VariantPtr kind = child(entry.get(), 0);
    const VariantPtr boxed = child(entry.get(), 1);
    const VariantPtr payload{g_variant_get_variant(boxed.get())};
    Value element;
    const Outcome outcome =
        decode_value(g_variant_get_string(kind.get(), nullptr), payload.get(), element, depth + 1);
    if (outcome == Outcome::malformed) return outcome;
    if (outcome == Outcome::unknown) continue;
    if (!fits(out.get(), element.get())) return Outcome::malformed;
    append(out.get(), element.get());
    element.forget();
  }
  return Outcome::ok;
}

BufferPtr decode_buffer(GVariant* in) {
  if (!holds(in, "(aytttttu)")) return nullptr;
  const VariantPtr bytes = child(in, 0);
  gsize size = 0;
  gconstpointer data = g_variant_get_fixed_array(bytes.get(), &size, 1);
  BufferPtr buffer{size == 0 ? gst_buffer_new() : gst_buffer_new_memdup(data, size)};
  guint flags = 0;
  g_variant_get(in, "(@aytttttu)", nullptr, &GST_BUFFER_PTS(buffer.get()),
                &GST_BUFFER_DTS(buffer.get()), &GST_BUFFER_DURATION(buffer.get()),
                &GST_BUFFER_OFFSET(buffer.get()), &GST_BUFFER_OFFSET_END(buffer.get()), &flags);
  // The lower bits are those of GstMiniObject, and TAG_MEMORY is for the pool that owns the buffer.
  constexpr guint kMiniObjectFlags = GST_MINI_OBJECT_FLAG_LAST - 1;
  GST_BUFFER_FLAG_SET(buffer.get(), flags & ~kMiniObjectFlags & ~guint{GST_BUFFER_FLAG_TAG_MEMORY});
  return buffer;
}

Outcome decode_sample(GVariant* in, Value& out, unsigned depth) {
  if (!holds(in, "(mvmvmv)")) return Outcome::malformed;
  BufferPtr buffer;
  CapsPtr caps;
  StructurePtr info;
  std::array<VariantPtr, 3> parts;
  for (gsize i = 0; i < parts.size(); ++i) {
    const VariantPtr part = child(in, i);
    if (const VariantPtr boxed{g_variant_get_maybe(part.get())}) {
      parts.at(i).reset(g_variant_get_variant(boxed.get()));
    }
  }
  if (parts[0] && !(buffer = decode_buffer(parts[0].get()))) return Outcome::malformed;
  if (parts[1] && !(caps = decode_caps(parts[1].get(), depth))) return Outcome::malformed;
  if (parts[2] && !(info = decode_structure(parts[2].get(), depth))) return Outcome::malformed;
  g_value_take_boxed(g_value_init(out.get(), GST_TYPE_SAMPLE),
                     gst_sample_new(buffer.get(), caps.get(), nullptr, info.release()));
  return Outcome::ok;
}

Outcome decode_date_time(GVariant* in, Value& out) {
  gint year = 0;
  gint month = 0;
  gint day = 0;
  gint hour = 0;
  gint minute = 0;
  double second = 0;
  double zone = 0;
  g_variant_get(in, "(iiiiidd)", &year, &month, &day, &hour, &minute, &second, &zone);
  // gst_date_time_new() asserts all of this, and takes a part only with the greater ones.
  constexpr gint kNone = -1;
  const bool has_time = hour != kNone;
  if (year < 1 || year > 9999) return Outcome::malformed;
  if (month == kNone ? day != kNone : month < 1 || month > 12) return Outcome::malformed;
  if (day == kNone ? has_time
                   : day < 1 || !g_date_valid_dmy(static_cast<GDateDay>(std::min(day, 32)),
                                                  static_cast<GDateMonth>(month),
                                                  static_cast<GDateYear>(year))) {
    return Outcome::malformed;
  }
  if (has_time ? hour < 0 || hour > 23 || minute < 0 || minute > 59 : minute != kNone) {
    return Outcome::malformed;
  }
  const bool has_second = second >= 0.0 && second < 60.0;
  if (!has_second && second != -1.0) return Outcome::malformed;
  if (has_second && !has_time) return Outcome::malformed;
  if (!(has_time ? zone >= -12.0 && zone <= 12.0 : zone == 0.0)) return Outcome::malformed;
  GstDateTime* date_time = has_time ? gst_date_time_new(static_cast<gfloat>(zone), year, month, day,
                                                        hour, minute, second)
                                    : gst_date_time_new_ymd(year, month, day);
  if (date_time == nullptr) return Outcome::malformed;
  g_value_take_boxed(g_value_init(out.get(), GST_TYPE_DATE_TIME), date_time);
  return Outcome::ok;
}

template <typename Pointer>
Outcome take(Value& out, GType type, Pointer boxed) {
  if (!boxed) return Outcome::malformed;
  g_value_take_boxed(g_value_init(out.get(), type), boxed.release());
  return Outcome::ok;
}

Outcome decode_boxed(std::string_view kind, GVariant* in, Value& out, unsigned depth) {
  if (kind == "structure") return take(out, GST_TYPE_STRUCTURE, decode_structure(in, depth + 1));
  if (kind == "caps") return take(out, GST_TYPE_CAPS, decode_caps(in, depth + 1));
  if (kind == "tag-list") return take(out, GST_TYPE_TAG_LIST, decode_tag_list(in, depth + 1));
  if (kind == "buffer") return take(out, GST_TYPE_BUFFER, decode_buffer(in));
  if (kind == "sample") return decode_sample(in, out, depth + 1);
  if (kind == "date-time" && holds(in, "(iiiiidd)")) return decode_date_time(in, out);
  if (kind == "g-date-time" && holds(in, "(xi)")) {
    gint64 microseconds = 0;
    gint32 utc_offset = 0;
    g_variant_get(in, "(xi)", &microseconds, &utc_offset);
    return take(out, G_TYPE_DATE_TIME, date_time_from_unix(microseconds, utc_offset));
  }
  if (kind == "date" && holds(in, "(yyq)")) {
    guchar day = 0;
    guchar month = 0;
    guint16 year = 0;
    g_variant_get(in, "(yyq)", &day, &month, &year);
    if (!g_date_valid_dmy(day, static_cast<GDateMonth>(month), year)) return Outcome::malformed;
    g_value_take_boxed(g_value_init(out.get(), G_TYPE_DATE),
                       g_date_new_dmy(day, static_cast<GDateMonth>(month), year));
    return Outcome::ok;
  }
  if (kind == "bytes" && holds(in, "ay")) {
    gsize size = 0;
    gconstpointer data = g_variant_get_fixed_array(in, &size, 1);
    g_value_take_boxed(g_value_init(out.get(), G_TYPE_BYTES), g_bytes_new(data, size));
    return Outcome::ok;
  }
  if (kind == "strv" && holds(in, "as")) {
    g_value_take_boxed(g_value_init(out.get(), G_TYPE_STRV), g_variant_dup_strv(in, nullptr));
    return Outcome::ok;
  }
  return Outcome::unknown;
}

Outcome decode_value(std::string_view kind, GVariant* payload, Value& out, unsigned depth) {
  if (depth > kMaxValueDepth) return Outcome::malformed;
  for (auto* decode : {decode_fundamental, decode_number_set, decode_named}) {
    const Outcome outcome = decode(kind, payload, out);
    if (outcome != Outcome::unknown) return outcome;
  }
  if (kind == "list") {
    return decode_elements(payload, out, depth, GST_TYPE_LIST,
                           gst_value_list_append_and_take_value);
  }
  if (kind == "array") {
    return decode_elements(payload, out, depth, GST_TYPE_ARRAY,
                           gst_value_array_append_and_take_value);
  }
  return decode_boxed(kind, payload, out, depth);
}

/// Gives each field that this process knows to `add`; false when one is malformed.
template <typename Add>
bool decode_fields(GVariant* fields, unsigned depth, Add add) {
  const gsize count = g_variant_n_children(fields);
  for (gsize i = 0; i < count; ++i) {
    const VariantPtr field = child(fields, i);
    const char* name = nullptr;
    const char* kind = nullptr;
    GVariant* lent = nullptr;
    g_variant_get(field.get(), "(&s&sv)", &name, &kind, &lent);
    const VariantPtr payload{lent};
    Value value;
    const Outcome outcome =
        *name == '\0' ? Outcome::malformed : decode_value(kind, payload.get(), value, depth);
    if (outcome == Outcome::malformed) {
      GST_DEBUG("field '%s' of kind '%s' makes no sense", name, kind);
      return false;
    }
    if (outcome == Outcome::ok) {
      add(name, value);
    } else {
      GST_DEBUG("field '%s' of kind '%s' is not known here", name, kind);
    }
  }
  return true;
}

StructurePtr decode_structure(GVariant* variant, unsigned depth) {
  if (depth > kMaxValueDepth || !holds(variant, "(sa(ssv))")) return nullptr;
  const VariantPtr name = child(variant, 0);
  const VariantPtr fields = child(variant, 1);
  const char* text = g_variant_get_string(name.get(), nullptr);
  if (!is_structure_name(text)) return nullptr;
  StructurePtr structure{gst_structure_new_empty(text)};
  const bool good = decode_fields(fields.get(), depth, [&](const char* field, Value& value) {
    gst_structure_take_value(structure.get(), field, value.get());
    value.forget();
  });
  return good ? std::move(structure) : nullptr;
}

/// "memory:SystemMemory": what gst_caps_features_add() takes without a warning.
bool is_feature_name(std::string_view name) {
  const auto colon = name.find(':');
  if (colon == std::string_view::npos || colon + 1 == name.size()) return false;
  const std::string_view prefix = name.substr(0, colon);
  const std::string_view rest = name.substr(colon + 1);
  return std::all_of(prefix.begin(), prefix.end(), [](char c) { return g_ascii_isalpha(c); }) &&
         g_ascii_isalpha(rest.front()) &&
         std::all_of(rest.begin(), rest.end(), [](char c) { return g_ascii_isalnum(c); });
}

CapsPtr decode_caps(GVariant* variant, unsigned depth) {
  if (depth > kMaxValueDepth || !holds(variant, "(ba(bas(sa(ssv))))")) return nullptr;
  const VariantPtr any = child(variant, 0);
  const VariantPtr structures = child(variant, 1);
  if (g_variant_get_boolean(any.get())) return CapsPtr{gst_caps_new_any()};
  CapsPtr caps{gst_caps_new_empty()};
  const gsize count = g_variant_n_children(structures.get());
  for (gsize i = 0; i < count; ++i) {
    const VariantPtr entry = child(structures.get(), i);
    const VariantPtr any_feature = child(entry.get(), 0);
    const VariantPtr names = child(entry.get(), 1);
    const VariantPtr fields = child(entry.get(), 2);
    CapsFeaturesPtr features{g_variant_get_boolean(any_feature.get())
                                 ? gst_caps_features_new_any()
                                 : gst_caps_features_new_empty()};
    const gsize name_count =
        gst_caps_features_is_any(features.get()) ? 0 : g_variant_n_children(names.get());
    for (gsize j = 0; j < name_count; ++j) {
      const VariantPtr name = child(names.get(), j);
      const char* text = g_variant_get_string(name.get(), nullptr);
      if (!is_feature_name(text)) return nullptr;
      gst_caps_features_add(features.get(), text);
    }
    StructurePtr structure = decode_structure(fields.get(), depth);
    if (!structure) return nullptr;
    gst_caps_append_structure_full(caps.get(), structure.release(), features.release());
  }
  return caps;
}

bool is_empty_string(const GValue* value) {
  if (!G_VALUE_HOLDS_STRING(value)) return false;
  const char* text = g_value_get_string(value);
  return text == nullptr || *text == '\0';
}

TagListPtr decode_tag_list(GVariant* variant, unsigned depth) {
  if (depth > kMaxValueDepth || !holds(variant, "(ba(ssv))")) return nullptr;
  const VariantPtr global = child(variant, 0);
  const VariantPtr fields = child(variant, 1);
  TagListPtr tags{gst_tag_list_new_empty()};
  gst_tag_list_set_scope(tags.get(), g_variant_get_boolean(global.get()) ? GST_TAG_SCOPE_GLOBAL
                                                                         : GST_TAG_SCOPE_STREAM);
  const bool good = decode_fields(fields.get(), depth, [&](const char* tag, Value& value) {
    // A tag that only the peer registered is no fault.
    if (!gst_tag_exists(tag) || gst_tag_get_type(tag) != value.type()) return;
    if (is_empty_string(value.get())) return;
    gst_tag_list_add_value(tags.get(), GST_TAG_MERGE_APPEND, tag, value.get());
  });
  return good ? std::move(tags) : nullptr;
}

}  // namespace

StructurePtr structure_from_variant(GVariant* variant) {
  return decode_structure(variant, 0);
}
CapsPtr caps_from_variant(GVariant* variant) {
  return decode_caps(variant, 0);
}
TagListPtr tag_list_from_variant(GVariant* variant) {
  return decode_tag_list(variant, 0);
}

VariantPtr read_variant(const GVariantType* type, std::span<const std::byte> bytes) {
  const BytesPtr copy{g_bytes_new(bytes.data(), bytes.size())};
  VariantPtr variant{g_variant_ref_sink(g_variant_new_from_bytes(type, copy.get(), FALSE))};
  if constexpr (G_BYTE_ORDER == G_BIG_ENDIAN) variant.reset(g_variant_byteswap(variant.get()));
  return g_variant_is_normal_form(variant.get()) ? std::move(variant) : nullptr;
}

DateTimePtr date_time_from_unix(gint64 microseconds, gint32 utc_offset_seconds) {
  constexpr gint32 kDay = 24 * 60 * 60;
  if (utc_offset_seconds <= -kDay || utc_offset_seconds >= kDay) return nullptr;
  gint64 seconds = microseconds / G_USEC_PER_SEC;
  gint64 rest = microseconds % G_USEC_PER_SEC;
  if (rest < 0) {
    rest += G_USEC_PER_SEC;
    --seconds;
  }
  const DateTimePtr whole{g_date_time_new_from_unix_utc(seconds)};
  if (!whole) return nullptr;
  const DateTimePtr utc{g_date_time_add(whole.get(), rest)};
  if (!utc) return nullptr;
  const TimeZonePtr zone{g_time_zone_new_offset(utc_offset_seconds)};
  return DateTimePtr{g_date_time_to_timezone(utc.get(), zone.get())};
}

bool is_structure_name(const char* name) {
  const std::string_view text{name};
  // GStreamer warns about the raw formats of its version 0.10.
  if (text.starts_with("video/x-raw-") || text.starts_with("audio/x-raw-")) return false;
  return !text.empty() && g_ascii_isalpha(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return g_ascii_isalnum(c) ||
                  std::string_view{"/-_.:+"}.find(c) != std::string_view::npos;
         });
}

}  // namespace fabric
