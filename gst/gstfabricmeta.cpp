// SPDX-License-Identifier: Apache-2.0
#include "gstfabricmeta.hpp"

#include <gst/audio/audio.h>
#include <gst/video/video-anc.h>
#include <gst/video/video.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "gstfabricmeta_wire.hpp"
#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace wire = fabric::wire;

namespace {

using Bytes = std::vector<std::byte>;

void append(Bytes& out, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  out.insert(out.end(), bytes, bytes + size);
}

template <typename T>
void append(Bytes& out, const T& body) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
  append(out, &body, sizeof body);
}

/// A record under way: the header is filled in at the end, or all of it taken back.
class Record {
 public:
  Record(Bytes& out, wire::RecordType type) : out_{out}, type_{type}, start_{out.size()} {
    append(out_, wire::RecordHeader{});
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record() {
    if (!finished_) out_.resize(start_);
  }
  void finish() {
    const std::size_t length = out_.size() - start_ - sizeof(wire::RecordHeader);
    if (length > std::numeric_limits<std::uint32_t>::max()) return;
    const wire::RecordHeader header{static_cast<std::uint16_t>(type_), wire::kRecordVersion,
                                    static_cast<std::uint32_t>(length)};
    std::memcpy(out_.data() + start_, &header, sizeof header);
    finished_ = true;
  }

 private:
  Bytes& out_;
  wire::RecordType type_;
  std::size_t start_;
  bool finished_ = false;
};

template <std::size_t N>
bool set_name(wire::Name<N>& to, const char* from) {
  if (from == nullptr) return false;
  const std::string_view text{from};
  if (text.empty() || text.size() >= N) return false;
  to.fill('\0');
  std::copy(text.begin(), text.end(), to.begin());
  return true;
}

void write_video(const GstVideoMeta& meta, Bytes& out) {
  wire::Video body;
  const bool is_known = meta.format != GST_VIDEO_FORMAT_UNKNOWN &&
                        set_name(body.format, gst_video_format_to_string(meta.format));
  if (!is_known || meta.n_planes > GST_VIDEO_MAX_PLANES) return;
  body.flags = static_cast<std::uint32_t>(meta.flags);
  body.id = meta.id;
  body.width = meta.width;
  body.height = meta.height;
  body.planes = meta.n_planes;
  for (std::size_t i = 0; i < meta.n_planes; ++i) {
    body.offset.at(i) = meta.offset[i];
    body.stride.at(i) = meta.stride[i];
  }
  body.padding_top = meta.alignment.padding_top;
  body.padding_bottom = meta.alignment.padding_bottom;
  body.padding_left = meta.alignment.padding_left;
  body.padding_right = meta.alignment.padding_right;
  std::copy_n(std::begin(meta.alignment.stride_align), body.stride_align.size(),
              body.stride_align.begin());
  Record record{out, wire::RecordType::video};
  append(out, body);
  record.finish();
}

void write_audio(const GstAudioMeta& meta, Bytes& out) {
  const GstAudioInfo& info = meta.info;
  wire::Audio body;
  if (!GST_AUDIO_INFO_IS_VALID(&info) || !set_name(body.format, GST_AUDIO_INFO_NAME(&info))) return;
  if (info.channels > gint{wire::kMaxAudioChannels}) return;
  const auto channels = static_cast<std::uint32_t>(info.channels);
  const bool planar = info.layout == GST_AUDIO_LAYOUT_NON_INTERLEAVED;
  body.rate = static_cast<std::uint32_t>(info.rate);
  body.channels = channels;
  body.planar = std::uint32_t{planar};
  body.flags = static_cast<std::uint32_t>(info.flags);
  body.samples = meta.samples;
  Record record{out, wire::RecordType::audio};
  append(out, body);
  for (std::size_t i = 0; i < std::min<std::size_t>(channels, std::size(info.position)); ++i) {
    append(out, wire::I32{static_cast<std::int32_t>(info.position[i])});
  }
  for (std::size_t i = 0; planar && i < channels; ++i) append(out, wire::U64{meta.offsets[i]});
  record.finish();
}

void write_reference_timestamp(const GstReferenceTimestampMeta& meta, Bytes& out) {
  const fabric::VariantPtr caps = fabric::caps_to_variant(meta.reference);
  wire::ReferenceTimestamp body;
  body.timestamp = meta.timestamp;
  body.duration = meta.duration;
  body.caps_length = static_cast<std::uint32_t>(g_variant_get_size(caps.get()));
  Record record{out, wire::RecordType::reference_timestamp};
  append(out, body);
  fabric::append_variant(caps.get(), out);
  record.finish();
}

void write_time_code(const GstVideoTimeCodeMeta& meta, Bytes& out) {
  const GstVideoTimeCode& code = meta.tc;
  wire::TimeCode body;
  body.fps_n = code.config.fps_n;
  body.fps_d = code.config.fps_d;
  body.flags = static_cast<std::uint32_t>(code.config.flags);
  body.hours = code.hours;
  body.minutes = code.minutes;
  body.seconds = code.seconds;
  body.frames = code.frames;
  body.field_count = code.field_count;
  if (GDateTime* jam = code.config.latest_daily_jam) {
    body.has_daily_jam = 1;
    body.daily_jam_zone = fabric::date_time_utc_offset(jam);
    body.daily_jam = fabric::date_time_to_unix(jam);
  }
  Record record{out, wire::RecordType::time_code};
  append(out, body);
  record.finish();
}

void write_caption(const GstVideoCaptionMeta& meta, Bytes& out) {
  if (meta.data == nullptr || meta.size > std::numeric_limits<std::uint32_t>::max()) return;
  wire::Caption body;
  body.type = static_cast<std::uint32_t>(meta.caption_type);
  body.size = static_cast<std::uint32_t>(meta.size);
  Record record{out, wire::RecordType::caption};
  append(out, body);
  append(out, meta.data, meta.size);
  record.finish();
}

void write_crop(const GstVideoCropMeta& meta, Bytes& out) {
  Record record{out, wire::RecordType::crop};
  append(out, wire::Crop{meta.x, meta.y, meta.width, meta.height});
  record.finish();
}

void write_afd(const GstVideoAFDMeta& meta, Bytes& out) {
  Record record{out, wire::RecordType::afd};
  append(out, wire::Afd{std::uint32_t{meta.field}, static_cast<std::uint32_t>(meta.spec),
                        static_cast<std::uint32_t>(meta.afd)});
  record.finish();
}

void write_bar(const GstVideoBarMeta& meta, Bytes& out) {
  Record record{out, wire::RecordType::bar};
  append(out, wire::Bar{std::uint32_t{meta.field}, std::uint32_t{meta.is_letterbox != FALSE},
                        meta.bar_data1, meta.bar_data2});
  record.finish();
}

void write_custom(GstCustomMeta* meta, const GstMetaInfo* info, Bytes& out) {
  const std::string_view name{g_type_name(info->type)};
  const gchar* const* tags = gst_meta_api_type_get_tags(info->api);
  const std::size_t tag_count =
      tags == nullptr ? 0 : g_strv_length(const_cast<gchar**>(tags));  // takes no const
  if (name.size() > wire::kMaxCustomName || tag_count > wire::kMaxCustomTags) return;
  const fabric::VariantPtr structure =
      fabric::structure_to_variant(gst_custom_meta_get_structure(meta));
  wire::Custom body;
  body.name_length = static_cast<std::uint16_t>(name.size());
  body.tag_count = static_cast<std::uint16_t>(tag_count);
  body.structure_length = static_cast<std::uint32_t>(g_variant_get_size(structure.get()));
  Record record{out, wire::RecordType::custom};
  append(out, body);
  append(out, name.data(), name.size());
  for (std::size_t i = 0; i < tag_count; ++i) {
    const std::string_view tag{tags[i]};
    if (tag.size() > wire::kMaxCustomName) return;
    append(out, wire::U16{static_cast<std::uint16_t>(tag.size())});
    append(out, tag.data(), tag.size());
  }
  fabric::append_variant(structure.get(), out);
  record.finish();
}

template <typename T>
const T& as(const GstMeta* meta) {
  return *reinterpret_cast<const T*>(meta);  // GstMeta is the first member of each
}

}  // namespace

void fabric_meta_serialize(GstBuffer* buffer, std::vector<std::byte>& out) {
  gpointer state = nullptr;
  while (GstMeta* meta = gst_buffer_iterate_meta(buffer, &state)) {
    const GType api = meta->info->api;
    if (api == GST_VIDEO_META_API_TYPE) {
      write_video(as<GstVideoMeta>(meta), out);
    } else if (api == GST_AUDIO_META_API_TYPE) {
      write_audio(as<GstAudioMeta>(meta), out);
    } else if (api == GST_REFERENCE_TIMESTAMP_META_API_TYPE) {
      write_reference_timestamp(as<GstReferenceTimestampMeta>(meta), out);
    } else if (api == GST_VIDEO_TIME_CODE_META_API_TYPE) {
      write_time_code(as<GstVideoTimeCodeMeta>(meta), out);
    } else if (api == GST_VIDEO_CAPTION_META_API_TYPE) {
      write_caption(as<GstVideoCaptionMeta>(meta), out);
    } else if (api == GST_VIDEO_CROP_META_API_TYPE) {
      write_crop(as<GstVideoCropMeta>(meta), out);
    } else if (api == GST_VIDEO_AFD_META_API_TYPE) {
      write_afd(as<GstVideoAFDMeta>(meta), out);
    } else if (api == GST_VIDEO_BAR_META_API_TYPE) {
      write_bar(as<GstVideoBarMeta>(meta), out);
    } else if (gst_meta_info_is_custom(meta->info)) {
      write_custom(reinterpret_cast<GstCustomMeta*>(meta), meta->info, out);
    } else {
      GST_LOG("%s stays behind", g_type_name(meta->info->type));
    }
  }
}
