// SPDX-License-Identifier: Apache-2.0
#include <gst/video/video-anc.h>
#include <gst/video/video.h>

#include <cstdint>
#include <limits>

#include "gstfabricmeta.hpp"
#include "gstfabricmeta_reader.hpp"
#include "gstfabricvalue.hpp"

#define GST_CAT_DEFAULT fabric::codec_category()

namespace wire = fabric::wire;
using fabric::wire::Reader;

namespace {

bool is_enum_value(GType type, std::uint32_t value) {
  if (value > std::uint32_t{std::numeric_limits<gint>::max()}) return false;
  const fabric::TypeClassPtr type_class{static_cast<GTypeClass*>(g_type_class_ref(type))};
  return g_enum_get_value(G_ENUM_CLASS(type_class.get()), static_cast<gint>(value)) != nullptr;
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

bool read_record(GstBuffer* buffer, std::uint16_t type, Reader body) {
  switch (static_cast<wire::RecordType>(type)) {
    case wire::RecordType::video:
      return wire::read_video(buffer, body);
    case wire::RecordType::audio:
      return wire::read_audio(buffer, body);
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
      return wire::read_custom(buffer, body);
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
