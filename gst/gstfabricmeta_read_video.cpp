// SPDX-License-Identifier: Apache-2.0
#include <gst/video/video.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "gstfabricmeta_reader.hpp"

namespace fabric::wire {
namespace {

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
bool is_plane_inside(const GstVideoInfo& natural, const Video& body, guint plane, bool is_field,
                     gsize size) {
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

}  // namespace

bool read_video(GstBuffer* buffer, Reader reader) {
  // Far above any picture, and far below where a plane's size leaves 64 bits or gint strides.
  constexpr std::uint32_t kMaxSide = 32768;
  Video body;
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

}  // namespace fabric::wire
