// SPDX-License-Identifier: Apache-2.0
#include "gstfabricvalue_read.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace fabric {
namespace {

Outcome decode_value(std::string_view kind, GVariant* payload, Value& out, unsigned depth);
StructurePtr decode_structure(GVariant* variant, unsigned depth);
CapsPtr decode_caps(GVariant* variant, unsigned depth);
TagListPtr decode_tag_list(GVariant* variant, unsigned depth);

VariantPtr child(GVariant* variant, gsize index) {
  return VariantPtr{g_variant_get_child_value(variant, index)};
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

Outcome decode_boxed(std::string_view kind, GVariant* in, Value& out, unsigned depth) {
  if (kind == "structure") return take(out, GST_TYPE_STRUCTURE, decode_structure(in, depth + 1));
  if (kind == "caps") return take(out, GST_TYPE_CAPS, decode_caps(in, depth + 1));
  if (kind == "tag-list") return take(out, GST_TYPE_TAG_LIST, decode_tag_list(in, depth + 1));
  if (kind == "buffer") return take(out, GST_TYPE_BUFFER, decode_buffer(in));
  if (kind == "sample") return decode_sample(in, out, depth + 1);
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
  for (auto* decode : {decode_plain, decode_named, decode_time}) {
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
