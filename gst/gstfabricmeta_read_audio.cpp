// SPDX-License-Identifier: Apache-2.0
#include <gst/audio/audio.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "gstfabricmeta_reader.hpp"

namespace fabric::wire {
namespace {

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
    I32 position;
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

}  // namespace

bool read_audio(GstBuffer* buffer, Reader reader) {
  Audio body;
  if (!reader.read(body) || !is_terminated(body.format)) return false;
  const GstAudioFormat format = gst_audio_format_from_string(body.format.data());
  if (format == GST_AUDIO_FORMAT_UNKNOWN || format == GST_AUDIO_FORMAT_ENCODED) return false;
  if (body.channels == 0 || body.channels > kMaxAudioChannels || body.planar > 1) return false;
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
      U64 offset;
      if (!reader.read(offset)) return false;
      offsets.push_back(offset);
    }
    if (!are_planes_apart(offsets, body.samples * sample_bytes, size)) return false;
  }
  return gst_buffer_add_audio_meta(buffer, &info, body.samples,
                                   offsets.empty() ? nullptr : offsets.data()) != nullptr;
}

}  // namespace fabric::wire
