// SPDX-License-Identifier: Apache-2.0
#include <gst/gst.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gstfabricmeta_reader.hpp"
#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace fabric::wire {
namespace {

bool is_type_name(std::string_view name) {
  constexpr std::size_t kShortest = 3;  // of a GType
  return name.size() >= kShortest && (g_ascii_isalpha(name.front()) || name.front() == '_') &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return g_ascii_isalnum(c) || c == '-' || c == '_' || c == '+'; });
}

/// What GStreamer knows under that name after registering it if need be. Types live as long as the
/// process, so that a peer may cause a limited number of them; it may not take a name of
/// GStreamer's own before the library that has it is loaded.
const GstMetaInfo* custom_info(const std::string& name, const std::vector<std::string>& tags) {
  constexpr int kMostFromPeers = 256;
  static std::mutex mutex;
  static int from_peers = 0;
  const std::lock_guard lock{mutex};
  if (const GstMetaInfo* known = gst_meta_get_info(name.c_str())) return known;
  const std::string api = name + "-api";
  if (g_type_from_name(name.c_str()) != 0 || g_type_from_name(api.c_str()) != 0) return nullptr;
  if (name.starts_with("Gst") || from_peers == kMostFromPeers) return nullptr;
  std::vector<const gchar*> texts;
  for (const std::string& tag : tags) texts.push_back(tag.c_str());
  texts.push_back(nullptr);
  ++from_peers;
  GST_INFO("registering custom meta %s of a peer", name.c_str());
  return gst_meta_register_custom(name.c_str(), texts.data(), nullptr, nullptr, nullptr);
}

}  // namespace

bool read_custom(GstBuffer* buffer, Reader reader) {
  Custom body;
  if (!reader.read(body)) return false;
  if (body.name_length > kMaxCustomName || body.tag_count > kMaxCustomTags) return false;
  const auto name = reader.text(body.name_length);
  if (!name || !is_type_name(*name)) return false;
  std::vector<std::string> tags;
  for (std::uint16_t i = 0; i < body.tag_count; ++i) {
    U16 length;
    if (!reader.read(length) || length == 0 || length > kMaxCustomName) return false;
    auto tag = reader.text(length);
    if (!tag) return false;
    tags.push_back(std::move(*tag));
  }
  const auto bytes = reader.take(body.structure_length);
  if (!bytes) return false;
  const VariantPtr variant = read_variant(G_VARIANT_TYPE("(sa(ssv))"), *bytes);
  const StructurePtr structure = variant ? structure_from_variant(variant.get()) : nullptr;
  if (!structure || !gst_structure_has_name(structure.get(), name->c_str())) return false;

  const GstMetaInfo* info = custom_info(*name, tags);
  if (info == nullptr) {
    GST_DEBUG("custom meta %s cannot be registered here", name->c_str());
    return g_type_from_name(name->c_str()) == 0;  // otherwise it is a name of something else
  }
  if (!gst_meta_info_is_custom(info)) return false;
  GstCustomMeta* meta = gst_buffer_add_custom_meta(buffer, name->c_str());
  if (meta == nullptr) return false;
  GstStructure* fields = gst_custom_meta_get_structure(meta);
  for (gint i = 0; i < gst_structure_n_fields(structure.get()); ++i) {
    const char* field = gst_structure_nth_field_name(structure.get(), static_cast<guint>(i));
    gst_structure_set_value(fields, field, gst_structure_get_value(structure.get(), field));
  }
  return true;
}

}  // namespace fabric::wire
