// SPDX-License-Identifier: Apache-2.0
#include <gst/audio/audio.h>
#include <gst/video/video-anc.h>
#include <gst/video/video.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gstfabricmeta.hpp"
#include "gstfabricmeta_wire.hpp"
#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace wire = fabric::wire;

namespace {

/// The rest of a body, read from the front.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_{bytes} {}
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

  template <typename T>
  bool read(T& to) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    if (bytes_.size() < sizeof to) return false;
    std::memcpy(&to, bytes_.data(), sizeof to);
    bytes_ = bytes_.subspan(sizeof to);
    return true;
  }
  std::optional<std::span<const std::byte>> take(std::size_t size) noexcept {
    if (bytes_.size() < size) return std::nullopt;
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  /// Text of that length, NUL-free ASCII.
  std::optional<std::string> text(std::size_t size) {
    const auto bytes = take(size);
    if (!bytes) return std::nullopt;
    std::string text{reinterpret_cast<const char*>(bytes->data()), bytes->size()};
    const bool good =
        std::all_of(text.begin(), text.end(), [](char c) { return g_ascii_isgraph(c); });
    return good ? std::optional{text} : std::nullopt;
  }

 private:
  std::span<const std::byte> bytes_;
};

template <std::size_t N>
bool is_terminated(const wire::Name<N>& name) {
  return std::find(name.begin(), name.end(), '\0') != name.end();
}

bool is_enum_value(GType type, std::uint32_t value) {
  if (value > std::uint32_t{std::numeric_limits<gint>::max()}) return false;
  const fabric::TypeClassPtr type_class{static_cast<GTypeClass*>(g_type_class_ref(type))};
  return g_enum_get_value(G_ENUM_CLASS(type_class.get()), static_cast<gint>(value)) != nullptr;
}

/// Bytes of the last line of a plane that a reader may touch.
std::uint64_t row_bytes(const GstVideoInfo& natural, guint plane) {
  const GstVideoFormatInfo* format = natural.finfo;
  std::uint64_t bytes = 0;
  if (!GST_VIDEO_FORMAT_INFO_IS_COMPLEX(format)) {
    for (guint i = 0; i < GST_VIDEO_FORMAT_INFO_N_COMPONENTS(format); ++i) {
      if (GST_VIDEO_FORMAT_INFO_PLANE(format, i) != plane) continue;
      const auto width = static_cast<std::uint64_t>(GST_VIDEO_INFO_COMP_WIDTH(&natural, i));
      bytes = std::max(bytes, width * static_cast<std::uint64_t>(
                                          std::max(GST_VIDEO_FORMAT_INFO_PSTRIDE(format, i), 0)));
    }
  }
  // Bit-packed formats have no such thing as the bytes of a pixel; GStreamer's own stride bounds
  // what it reads of them.
  const auto natural_stride = static_cast<std::uint64_t>(natural.stride[plane]);
  return bytes == 0 ? natural_stride : bytes;
}

/// Whether the lines of a plane lie in a buffer of `size` bytes. `lines` halves for a buffer that
/// is a single field of the `height` its meta speaks of.
bool is_plane_inside(const GstVideoInfo& natural, const wire::Video& body, guint plane,
                     bool is_field, gsize size) {
  const std::uint64_t offset = body.offset.at(plane);
  const std::int32_t stride = body.stride.at(plane);
  if (stride < 0 || offset > size) return false;
  const GstVideoFormatInfo* format = natural.finfo;
  if (GST_VIDEO_FORMAT_INFO_FORMAT(format) == GST_VIDEO_FORMAT_ENCODED) return true;
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(format)) {
    // The stride counts tiles, whose size GStreamer says differently in each release: no padding.
    const gsize end = plane + 1 < GST_VIDEO_INFO_N_PLANES(&natural) ? natural.offset[plane + 1]
                                                                    : GST_VIDEO_INFO_SIZE(&natural);
    return stride == natural.stride[plane] && end - natural.offset[plane] <= size - offset;
  }
  if (GST_VIDEO_FORMAT_INFO_HAS_PALETTE(format) && plane == GST_VIDEO_COMP_PALETTE) {
    return GST_VIDEO_FORMAT_INFO_FORMAT(format) == GST_VIDEO_FORMAT_RGB8P &&
           size - offset >= 256 * sizeof(guint32);
  }
  std::uint64_t lines = 0;
  for (guint i = 0; i < GST_VIDEO_FORMAT_INFO_N_COMPONENTS(format); ++i) {
    if (GST_VIDEO_FORMAT_INFO_PLANE(format, i) != plane) continue;
    lines = std::max(lines, static_cast<std::uint64_t>(GST_VIDEO_INFO_COMP_HEIGHT(&natural, i)));
  }
  if (is_field) lines = (lines + 1) / 2;
  if (lines == 0) return false;
  // Both factors are below 2^31.
  const std::uint64_t end =
      (lines - 1) * static_cast<std::uint64_t>(stride) + row_bytes(natural, plane);
  return end <= size - offset;
}

bool read_video(GstBuffer* buffer, Reader reader) {
  // Far above any picture, and far below where a plane's size leaves 64 bits or gint strides.
  constexpr std::uint32_t kMaxSide = 32768;
  wire::Video body;
  if (!reader.read(body) || !is_terminated(body.format)) return false;
  const GstVideoFormat format = gst_video_format_from_string(body.format.data());
  if (format == GST_VIDEO_FORMAT_UNKNOWN) return false;
  if (body.width == 0 || body.width > kMaxSide || body.height == 0 || body.height > kMaxSide) {
    return false;
  }
  GstVideoInfo natural;
  if (!gst_video_info_set_format(&natural, format, body.width, body.height)) return false;
  const std::uint32_t planes = body.planes;
  if (planes > GST_VIDEO_MAX_PLANES) return false;
  if (format != GST_VIDEO_FORMAT_ENCODED && planes != GST_VIDEO_INFO_N_PLANES(&natural)) {
    return false;
  }
  const bool is_field = GST_BUFFER_FLAG_IS_SET(buffer, GST_VIDEO_BUFFER_FLAG_ONEFIELD);
  const gsize size = gst_buffer_get_size(buffer);
  std::array<gsize, GST_VIDEO_MAX_PLANES> offset{};
  std::array<gint, GST_VIDEO_MAX_PLANES> stride{};
  for (guint i = 0; i < planes; ++i) {
    if (!is_plane_inside(natural, body, i, is_field, size)) return false;
    offset.at(i) = body.offset.at(i);
    stride.at(i) = body.stride.at(i);
  }
  GstVideoMeta* meta = gst_buffer_add_video_meta_full(
      buffer, static_cast<GstVideoFrameFlags>(std::uint32_t{body.flags}), format, body.width,
      body.height, planes, offset.data(), stride.data());
  if (meta == nullptr) return false;
  meta->id = body.id;
  // Straight in, not by gst_video_meta_set_alignment(): that refuses what the sender's own set
  // before it changed the strides, and only describes what was checked above.
  meta->alignment.padding_top = body.padding_top;
  meta->alignment.padding_bottom = body.padding_bottom;
  meta->alignment.padding_left = body.padding_left;
  meta->alignment.padding_right = body.padding_right;
  std::copy(body.stride_align.begin(), body.stride_align.end(),
            std::begin(meta->alignment.stride_align));
  return true;
}

/// Whether planes of `plane_size` bytes at those offsets lie in the buffer, apart from each other.
bool are_planes_apart(std::vector<gsize> offsets, gsize plane_size, gsize size) {
  std::sort(offsets.begin(), offsets.end());
  gsize free_from = 0;
  for (const gsize offset : offsets) {
    if (offset < free_from || offset > size || plane_size > size - offset) return false;
    free_from = offset + plane_size;
  }
  return true;
}

bool read_positions(Reader& reader, GstAudioInfo& info, bool unpositioned) {
  const std::size_t count =
      std::min<std::size_t>(static_cast<std::size_t>(info.channels), std::size(info.position));
  for (std::size_t i = 0; i < count; ++i) {
    wire::I32 position;
    if (!reader.read(position)) return false;
    if (position < GST_AUDIO_CHANNEL_POSITION_NONE ||
        position > GST_AUDIO_CHANNEL_POSITION_SURROUND_RIGHT) {
      return false;
    }
    info.position[i] = static_cast<GstAudioChannelPosition>(std::int32_t{position});
  }
  return unpositioned || static_cast<std::size_t>(info.channels) > std::size(info.position) ||
         gst_audio_check_valid_channel_positions(info.position, info.channels, FALSE);
}

bool read_audio(GstBuffer* buffer, Reader reader) {
  wire::Audio body;
  if (!reader.read(body) || !is_terminated(body.format)) return false;
  const GstAudioFormat format = gst_audio_format_from_string(body.format.data());
  if (format == GST_AUDIO_FORMAT_UNKNOWN || format == GST_AUDIO_FORMAT_ENCODED) return false;
  if (body.channels == 0 || body.channels > wire::kMaxAudioChannels || body.planar > 1)
    return false;
  if (body.rate == 0 || body.rate > std::uint32_t{std::numeric_limits<gint>::max()}) return false;
  GstAudioInfo info;
  gst_audio_info_init(&info);
  gst_audio_info_set_format(&info, format, static_cast<gint>(std::uint32_t{body.rate}),
                            static_cast<gint>(std::uint32_t{body.channels}), nullptr);
  const std::uint32_t flags = body.flags & std::uint32_t{GST_AUDIO_FLAG_UNPOSITIONED};
  info.flags = static_cast<GstAudioFlags>(flags);
  info.layout = body.planar ? GST_AUDIO_LAYOUT_NON_INTERLEAVED : GST_AUDIO_LAYOUT_INTERLEAVED;
  if (!read_positions(reader, info, flags != 0)) return false;

  const gsize size = gst_buffer_get_size(buffer);
  const auto sample_bytes = static_cast<gsize>(GST_AUDIO_INFO_WIDTH(&info)) / 8;
  const gsize bytes = body.planar ? sample_bytes : static_cast<gsize>(GST_AUDIO_INFO_BPF(&info));
  if (bytes == 0 || body.samples > size / bytes) return false;
  std::vector<gsize> offsets;
  if (body.planar) {
    for (std::uint32_t i = 0; i < body.channels; ++i) {
      wire::U64 offset;
      if (!reader.read(offset)) return false;
      offsets.push_back(offset);
    }
    if (!are_planes_apart(offsets, body.samples * sample_bytes, size)) return false;
  }
  return gst_buffer_add_audio_meta(buffer, &info, body.samples,
                                   offsets.empty() ? nullptr : offsets.data()) != nullptr;
}

bool read_reference_timestamp(GstBuffer* buffer, Reader reader) {
  wire::ReferenceTimestamp body;
  if (!reader.read(body) || !GST_CLOCK_TIME_IS_VALID(body.timestamp)) return false;
  const auto bytes = reader.take(body.caps_length);
  if (!bytes) return false;
  const fabric::VariantPtr variant =
      fabric::read_variant(G_VARIANT_TYPE("(ba(bas(sa(ssv))))"), *bytes);
  const fabric::CapsPtr caps = variant ? fabric::caps_from_variant(variant.get()) : nullptr;
  return caps && gst_buffer_add_reference_timestamp_meta(buffer, caps.get(), body.timestamp,
                                                         body.duration) != nullptr;
}

bool read_time_code(GstBuffer* buffer, Reader reader) {
  wire::TimeCode body;
  if (!reader.read(body)) return false;
  constexpr std::uint32_t kFlags =
      GST_VIDEO_TIME_CODE_FLAGS_DROP_FRAME | GST_VIDEO_TIME_CODE_FLAGS_INTERLACED;
  if ((body.flags & ~kFlags) != 0 || body.field_count > 2) return false;
  fabric::DateTimePtr jam;
  if (body.has_daily_jam) {
    jam = fabric::date_time_from_unix(body.daily_jam, body.daily_jam_zone);
    if (!jam) return false;
  }
  GstVideoTimeCode code{};
  code.config.fps_n = body.fps_n;
  code.config.fps_d = body.fps_d;
  code.config.flags = static_cast<GstVideoTimeCodeFlags>(std::uint32_t{body.flags});
  code.config.latest_daily_jam = jam.get();  // lent: adding the meta copies it
  code.hours = body.hours;
  code.minutes = body.minutes;
  code.seconds = body.seconds;
  code.frames = body.frames;
  code.field_count = body.field_count;
  return gst_video_time_code_is_valid(&code) &&
         gst_buffer_add_video_time_code_meta(buffer, &code) != nullptr;
}

bool read_caption(GstBuffer* buffer, Reader reader) {
  wire::Caption body;
  if (!reader.read(body) || body.size == 0) return false;
  const auto data = reader.take(body.size);
  if (!data || body.type == GST_VIDEO_CAPTION_TYPE_UNKNOWN) return false;
  if (!is_enum_value(GST_TYPE_VIDEO_CAPTION_TYPE, body.type)) return false;
  return gst_buffer_add_video_caption_meta(
             buffer, static_cast<GstVideoCaptionType>(std::uint32_t{body.type}),
             reinterpret_cast<const guint8*>(data->data()), data->size()) != nullptr;
}

bool read_crop(GstBuffer* buffer, Reader reader) {
  wire::Crop body;
  if (!reader.read(body)) return false;
  const std::uint64_t right = std::uint64_t{body.x} + body.width;
  const std::uint64_t bottom = std::uint64_t{body.y} + body.height;
  std::uint64_t width = std::numeric_limits<gint>::max();
  std::uint64_t height = width;
  if (const GstVideoMeta* video = gst_buffer_get_video_meta(buffer)) {
    width = video->width;
    height = video->height;
  }
  if (right > width || bottom > height) return false;
  GstVideoCropMeta* meta = gst_buffer_add_video_crop_meta(buffer);
  if (meta == nullptr) return false;
  meta->x = body.x;
  meta->y = body.y;
  meta->width = body.width;
  meta->height = body.height;
  return true;
}

/// 0 for the whole frame, 1 and 2 for its fields.
constexpr std::uint32_t kLastField = 2;

bool read_afd(GstBuffer* buffer, Reader reader) {
  wire::Afd body;
  if (!reader.read(body) || body.field > kLastField) return false;
  if (!is_enum_value(GST_TYPE_VIDEO_AFD_SPEC, body.spec)) return false;
  if (!is_enum_value(GST_TYPE_VIDEO_AFD_VALUE, body.afd)) return false;
  // GStreamer's functions know the fields 0 and 1 only, and assert it.
  GstVideoAFDMeta* meta = gst_buffer_add_video_afd_meta(
      buffer, 0, static_cast<GstVideoAFDSpec>(std::uint32_t{body.spec}),
      static_cast<GstVideoAFDValue>(std::uint32_t{body.afd}));
  if (meta == nullptr) return false;
  meta->field = static_cast<guint8>(std::uint32_t{body.field});
  return true;
}

bool read_bar(GstBuffer* buffer, Reader reader) {
  wire::Bar body;
  if (!reader.read(body) || body.field > kLastField) return false;
  GstVideoBarMeta* meta = gst_buffer_add_video_bar_meta(buffer, 0, body.is_letterbox != 0,
                                                        body.bar_data1, body.bar_data2);
  if (meta == nullptr) return false;
  meta->field = static_cast<guint8>(std::uint32_t{body.field});
  return true;
}

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

bool read_custom(GstBuffer* buffer, Reader reader) {
  wire::Custom body;
  if (!reader.read(body)) return false;
  if (body.name_length > wire::kMaxCustomName || body.tag_count > wire::kMaxCustomTags)
    return false;
  const auto name = reader.text(body.name_length);
  if (!name || !is_type_name(*name)) return false;
  std::vector<std::string> tags;
  for (std::uint16_t i = 0; i < body.tag_count; ++i) {
    wire::U16 length;
    if (!reader.read(length) || length == 0 || length > wire::kMaxCustomName) return false;
    auto tag = reader.text(length);
    if (!tag) return false;
    tags.push_back(std::move(*tag));
  }
  const auto bytes = reader.take(body.structure_length);
  if (!bytes) return false;
  const fabric::VariantPtr variant = fabric::read_variant(G_VARIANT_TYPE("(sa(ssv))"), *bytes);
  const fabric::StructurePtr structure =
      variant ? fabric::structure_from_variant(variant.get()) : nullptr;
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

bool read_record(GstBuffer* buffer, std::uint16_t type, Reader body) {
  switch (static_cast<wire::RecordType>(type)) {
    case wire::RecordType::video:
      return read_video(buffer, body);
    case wire::RecordType::audio:
      return read_audio(buffer, body);
    case wire::RecordType::reference_timestamp:
      return read_reference_timestamp(buffer, body);
    case wire::RecordType::time_code:
      return read_time_code(buffer, body);
    case wire::RecordType::caption:
      return read_caption(buffer, body);
    case wire::RecordType::crop:
      return read_crop(buffer, body);
    case wire::RecordType::afd:
      return read_afd(buffer, body);
    case wire::RecordType::bar:
      return read_bar(buffer, body);
    case wire::RecordType::custom:
      return read_custom(buffer, body);
  }
  return true;
}

}  // namespace

bool fabric_meta_deserialize(GstBuffer* buffer, std::span<const std::byte> bytes) {
  Reader reader{bytes};
  while (!reader.empty()) {
    wire::RecordHeader header;
    if (!reader.read(header)) return false;
    const auto body = reader.take(header.length);
    if (!body) return false;
    if (header.version != wire::kRecordVersion) continue;
    if (!read_record(buffer, header.type, Reader{*body})) {
      GST_DEBUG("a record of type %u makes no sense", unsigned{header.type});
      return false;
    }
  }
  return true;
}
