// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>

#include "gstfabricvalue_read.hpp"

namespace fabric {
namespace {

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

}  // namespace

Outcome decode_plain(std::string_view kind, GVariant* in, Value& out) {
  const Outcome outcome = decode_fundamental(kind, in, out);
  return outcome == Outcome::unknown ? decode_number_set(kind, in, out) : outcome;
}

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

}  // namespace fabric
