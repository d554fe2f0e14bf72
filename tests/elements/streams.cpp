// SPDX-License-Identifier: Apache-2.0
#include "streams.hpp"

#include <gst/audio/audio.h>
#include <gst/video/video.h>

#include <array>
#include <cstring>
#include <random>

#include "pair.hpp"

namespace fabric::test {
namespace {

/// Flags that say something of the sending process, or are said anew.
constexpr guint kIgnoredFlags = GST_BUFFER_FLAG_TAG_MEMORY | GST_MINI_OBJECT_FLAG_LOCKABLE |
                                GST_MINI_OBJECT_FLAG_LOCK_READONLY |
                                GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED | GST_BUFFER_FLAG_DISCONT;

BufferPtr video(GstCaps* caps, unsigned number) {
  GstVideoInfo info;
  g_assert_true(gst_video_info_from_caps(&info, caps));
  const bool padded = number % 2 == 1;
  if (padded) {
    GstVideoAlignment alignment;
    gst_video_alignment_reset(&alignment);
    alignment.padding_right = 5;
    alignment.padding_top = 2;
    alignment.padding_bottom = 3;
    g_assert_true(gst_video_info_align(&info, &alignment));
  }
  BufferPtr buffer = buffer_of(noise(GST_VIDEO_INFO_SIZE(&info), number));
  if (padded) {
    gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE,
                                   GST_VIDEO_INFO_FORMAT(&info), GST_VIDEO_INFO_WIDTH(&info),
                                   GST_VIDEO_INFO_HEIGHT(&info), GST_VIDEO_INFO_N_PLANES(&info),
                                   info.offset, info.stride);
  }
  return buffer;
}

BufferPtr audio(GstCaps* caps, unsigned number) {
  GstAudioInfo info;
  g_assert_true(gst_audio_info_from_caps(&info, caps));
  const gsize samples = 401 + number;
  BufferPtr buffer = buffer_of(noise(samples * static_cast<gsize>(info.bpf), number));
  if (info.layout == GST_AUDIO_LAYOUT_NON_INTERLEAVED) {
    gst_buffer_add_audio_meta(buffer.get(), &info, samples, nullptr);
  }
  return buffer;
}

BufferPtr bytes(GstCaps*, unsigned number) {
  constexpr std::array<std::size_t, 5> kSizes{1, 70'001, 4096, 8, 300'000};
  return buffer_of(noise(kSizes.at(number % kSizes.size()), number));
}

/// The access units of a short film, from a real encoder where there is one.
const std::vector<std::string>& access_units() {
  static const std::vector<std::string> units = [] {
    std::vector<std::string> made;
    const ElementPtr pipeline(gst_parse_launch_full(
        "videotestsrc num-buffers=12 ! video/x-raw,format=I420,width=176,height=144,framerate=25/1 "
        "! openh264enc multi-thread=1 rate-control=off ! h264parse "
        "! video/x-h264,stream-format=byte-stream,alignment=au "
        "! appsink name=out sync=false",
        nullptr, GST_PARSE_FLAG_FATAL_ERRORS, nullptr));
    if (!pipeline) return std::vector<std::string>{};
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const ElementPtr out(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
    for (;;) {
      GstSample* sample = nullptr;
      g_signal_emit_by_name(out.get(), "pull-sample", &sample);
      if (sample == nullptr) break;
      const SamplePtr owner(sample);
      made.push_back(bytes_of(gst_sample_get_buffer(sample)));
    }
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    return made;
  }();
  return units;
}

BufferPtr encoded(GstCaps* caps, unsigned number) {
  const auto& units = access_units();
  return units.empty() ? bytes(caps, number) : buffer_of(units.at(number % units.size()));
}

std::vector<std::string> in_odd_sizes(const std::string& format) {
  std::vector<std::string> caps;
  for (const char* size :
       {"width=322,height=182", "width=33,height=17", "width=1,height=1", "width=1918,height=54"}) {
    caps.push_back("video/x-raw,format=" + format + "," + size + ",framerate=50/1");
  }
  return caps;
}

}  // namespace

std::string noise(std::size_t size, unsigned number) {
  std::minstd_rand random(number * 2654435761U + 1U);  // NOLINT: the same bytes everywhere
  std::string made(size, '\0');
  std::size_t at = 0;
  for (; at + 4 <= size; at += 4) {
    const auto word = static_cast<std::uint32_t>(random());
    std::memcpy(made.data() + at, &word, 4);
  }
  for (; at < size; ++at) made[at] = static_cast<char>(random());
  return made;
}

unsigned Stream::length() const {
  return static_cast<unsigned>(caps.size()) * kBuffersPerCaps;
}

CapsPtr Stream::caps_at(unsigned number) const {
  return caps_of(caps.at(number / kBuffersPerCaps % caps.size()));
}

BufferPtr Stream::buffer(unsigned number) const {
  BufferPtr made = make(caps_at(number).get(), number);
  GST_BUFFER_PTS(made.get()) = (number + 2) * 20 * GST_MSECOND + 7;
  GST_BUFFER_DTS(made.get()) = number * 20 * GST_MSECOND;
  GST_BUFFER_DURATION(made.get()) = 20 * GST_MSECOND;
  GST_BUFFER_OFFSET(made.get()) = number;
  GST_BUFFER_OFFSET_END(made.get()) = number + 1;
  if (number % 3 != 0) GST_BUFFER_FLAG_SET(made.get(), GST_BUFFER_FLAG_DELTA_UNIT);
  if (number % 4 == 2) GST_BUFFER_FLAG_SET(made.get(), GST_BUFFER_FLAG_MARKER);
  return made;
}

const std::vector<Stream>& streams() {
  static const std::vector<Stream> all = [] {
    std::vector<Stream> made;
    for (const char* format : {"v210", "I420", "NV12", "UYVY", "RGBA", "I422_10LE"}) {
      made.push_back({format, in_odd_sizes(format), video});
    }
    const std::string rate = ",rate=48000,channels=3,channel-mask=(bitmask)0x0";
    made.push_back({"S16LE", {"audio/x-raw,format=S16LE,layout=interleaved" + rate}, audio});
    made.push_back({"F32LE", {"audio/x-raw,format=F32LE,layout=interleaved" + rate}, audio});
    made.push_back(
        {"F32LE-planar", {"audio/x-raw,format=F32LE,layout=non-interleaved" + rate}, audio});
    const std::string h264 =
        "video/x-h264,stream-format=byte-stream,alignment=au,width=176,height=144";
    made.push_back({"h264", {h264, h264 + ",profile=constrained-baseline", h264}, encoded});
    made.push_back({"st-2038", {"meta/x-st-2038,alignment=frame"}, bytes});
    made.push_back({"anything", {"application/x-anything", "application/x-anything,n=2"}, bytes});
    return made;
  }();
  return all;
}

const Stream& stream(const std::string& name) {
  for (const Stream& one : streams()) {
    if (name == one.name) return one;
  }
  g_error("no stream %s", name.c_str());
}

std::string difference(GstBuffer* sent, GstBuffer* got, guint flags) {
  const auto number = [](guint64 value) { return std::to_string(value); };
  const std::string which = "buffer " + number(GST_BUFFER_OFFSET(sent)) + ": ";
  const auto differs = [&](const char* what, guint64 a, guint64 b) {
    return a == b ? std::string() : which + what + " " + number(b) + ", not " + number(a) + "; ";
  };
  std::string found;
  found += differs("offset", GST_BUFFER_OFFSET(sent), GST_BUFFER_OFFSET(got));
  found += differs("offset-end", GST_BUFFER_OFFSET_END(sent), GST_BUFFER_OFFSET_END(got));
  found += differs("PTS", GST_BUFFER_PTS(sent), GST_BUFFER_PTS(got));
  found += differs("DTS", GST_BUFFER_DTS(sent), GST_BUFFER_DTS(got));
  found += differs("duration", GST_BUFFER_DURATION(sent), GST_BUFFER_DURATION(got));
  found += differs("flags", GST_BUFFER_FLAGS(sent) & ~kIgnoredFlags, flags & ~kIgnoredFlags);
  found += differs("size", gst_buffer_get_size(sent), gst_buffer_get_size(got));
  if (bytes_of(sent) != bytes_of(got)) found += which + "other bytes; ";

  const GstVideoMeta* video_sent = gst_buffer_get_video_meta(sent);
  const GstVideoMeta* video_got = gst_buffer_get_video_meta(got);
  if ((video_sent == nullptr) != (video_got == nullptr)) found += which + "video meta; ";
  if (video_sent != nullptr && video_got != nullptr) {
    found += differs("planes", video_sent->n_planes, video_got->n_planes);
    for (guint i = 0; i < video_sent->n_planes; ++i) {
      found += differs("plane offset", video_sent->offset[i], video_got->offset[i]);
      found += differs("stride", static_cast<guint64>(video_sent->stride[i]),
                       static_cast<guint64>(video_got->stride[i]));
    }
  }
  const GstAudioMeta* audio_sent = gst_buffer_get_audio_meta(sent);
  const GstAudioMeta* audio_got = gst_buffer_get_audio_meta(got);
  if ((audio_sent == nullptr) != (audio_got == nullptr)) found += which + "audio meta; ";
  if (audio_sent != nullptr && audio_got != nullptr) {
    found += differs("samples", audio_sent->samples, audio_got->samples);
    for (gint i = 0; i < audio_sent->info.channels; ++i) {
      found += differs("channel offset", audio_sent->offsets[i], audio_got->offsets[i]);
    }
  }
  return found;
}

}  // namespace fabric::test
