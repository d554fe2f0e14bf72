// SPDX-License-Identifier: Apache-2.0
#include "fabric_codec_samples.hpp"

#include <gst/audio/audio.h>
#include <gst/video/video-anc.h>
#include <gst/video/video.h>

#include <array>

using fabric::BufferPtr;
using fabric::EventPtr;
using fabric::StructurePtr;

namespace {

fabric::CapsPtr caps(const char* text) {
  return fabric::CapsPtr{gst_caps_from_string(text)};
}

fabric::TagListPtr sample_tags(GstTagScope scope) {
  const BufferPtr cover{gst_buffer_new_memdup("jpeg", 4)};
  const fabric::SamplePtr image{
      gst_sample_new(cover.get(), caps("image/jpeg, width=(int)8").get(), nullptr,
                     gst_structure_new("GstTagImageInfo", "n", G_TYPE_INT, 1, nullptr))};
  fabric::TagListPtr tags{gst_tag_list_new(GST_TAG_TITLE, "Ünruhe; (void) \"x\"", GST_TAG_ARTIST,
                                           "a", GST_TAG_BITRATE, 5000U, GST_TAG_IMAGE, image.get(),
                                           nullptr)};
  gst_tag_list_add(tags.get(), GST_TAG_MERGE_APPEND, GST_TAG_ARTIST, "b", nullptr);
  gst_tag_list_set_scope(tags.get(), scope);
  return tags;
}

EventPtr sample_toc(GstTocScope scope) {
  const fabric::TocPtr toc{gst_toc_new(scope)};
  GstTocEntry* edition = gst_toc_entry_new(GST_TOC_ENTRY_TYPE_EDITION, "edition");
  GstTocEntry* chapter = gst_toc_entry_new(GST_TOC_ENTRY_TYPE_CHAPTER, "chapter");
  gst_toc_entry_set_start_stop_times(chapter, 7, 9);
  gst_toc_entry_set_loop(chapter, GST_TOC_LOOP_REVERSE, 3);
  gst_toc_entry_set_tags(chapter, sample_tags(GST_TAG_SCOPE_STREAM).release());
  gst_toc_entry_append_sub_entry(edition, chapter);
  gst_toc_append_entry(toc.get(), edition);
  gst_toc_set_tags(toc.get(), sample_tags(GST_TAG_SCOPE_GLOBAL).release());
  return EventPtr{gst_event_new_toc(toc.get(), TRUE)};
}

GstStructure* key_unit() {
  return gst_structure_new("GstForceKeyUnit", "running-time", GST_TYPE_CLOCK_TIME,
                           GstClockTime{GST_SECOND}, "all-headers", G_TYPE_BOOLEAN, TRUE, "count",
                           G_TYPE_UINT, 3U, nullptr);
}

}  // namespace

StructurePtr sample_structure(const char* name) {
  // The parser is fit for what is written here, and knows all but the boxed types.
  StructurePtr structure{gst_structure_from_string(
      "sample, b=(boolean)true, i=(int)-5, u=(uint)5, x=(gint64)-6, "
      "t=(guint64)18446744073709551615,"
      "d=(double)0.1, s=(string)\"a \\\"b\\\"\", fraction=(fraction)30000/1001, mask=(bitmask)0x3,"
      "flags=(flagset)1:3, ir=(int)[2,10,2], xr=(gint64)[3,9,3], dr=(double)[0.5,1.5],"
      "fr=(fraction)[1/2,5/2], list=(int){1,2,3}, array=(string)<a,b>, format=(GstFormat)time,"
      "segment-flags=(GstSegmentFlags)segment;",
      nullptr)};
  gst_structure_set_name(structure.get(), name);
  const BufferPtr buffer{gst_buffer_new_memdup("\x01\x00\xff", 3)};
  GST_BUFFER_PTS(buffer.get()) = 77;
  const StructurePtr inner{gst_structure_new("inner", "deep", G_TYPE_INT, 1, nullptr)};
  const fabric::BytesPtr bytes{g_bytes_new("xyz", 3)};
  const std::array<const char*, 3> strings{"p", "q", nullptr};
  GDate* date = g_date_new_dmy(29, G_DATE_FEBRUARY, 2024);
  GstDateTime* date_time = gst_date_time_new(2.0F, 2024, 2, 29, 12, 30, 15.0);
  const fabric::DateTimePtr moment{g_date_time_new_utc(2001, 2, 3, 4, 5, 6.25)};
  gst_structure_set(structure.get(), "f", G_TYPE_FLOAT, 0.25, "null", G_TYPE_STRING, nullptr,
                    "long", G_TYPE_LONG, -9L, "ulong", G_TYPE_ULONG, 9UL, "char", G_TYPE_CHAR, -3,
                    "uchar", G_TYPE_UCHAR, 200, "type", G_TYPE_GTYPE, GST_TYPE_BUFFER, "buffer",
                    GST_TYPE_BUFFER, buffer.get(), "inner", GST_TYPE_STRUCTURE, inner.get(), "caps",
                    GST_TYPE_CAPS, caps("a/b(memory:DMABuf), n=(int)1; c/d").get(), "any",
                    GST_TYPE_CAPS, fabric::CapsPtr{gst_caps_new_any()}.get(), "tags",
                    GST_TYPE_TAG_LIST, sample_tags(GST_TAG_SCOPE_GLOBAL).get(), "bytes",
                    G_TYPE_BYTES, bytes.get(), "strv", G_TYPE_STRV, strings.data(), "date",
                    G_TYPE_DATE, date, "date-time", GST_TYPE_DATE_TIME, date_time, "moment",
                    G_TYPE_DATE_TIME, moment.get(), nullptr);
  g_date_free(date);
  gst_date_time_unref(date_time);
  return structure;
}

BufferPtr sample_buffer() {
  // Lines of 80 bytes, and room before and after each plane.
  BufferPtr owned{gst_buffer_new_allocate(nullptr, 8192, nullptr)};
  GstBuffer* buffer = owned.get();
  std::array<gsize, GST_VIDEO_MAX_PLANES> offset{16, 3000, 5000, 0};
  std::array<gint, GST_VIDEO_MAX_PLANES> stride{80, 48, 48, 0};
  GstVideoMeta* video =
      gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_INTERLACED, GST_VIDEO_FORMAT_I420,
                                     64, 32, 3, offset.data(), stride.data());
  video->id = -7;
  video->alignment.padding_left = 16;
  video->alignment.stride_align[1] = 15;

  gst_buffer_add_reference_timestamp_meta(buffer, caps("timestamp/x-ptp").get(), 12345, 40);
  gst_buffer_add_reference_timestamp_meta(
      buffer, caps("timestamp/x-clock, name=(string)tai, offset=(int)37").get(), 999,
      GST_CLOCK_TIME_NONE);
  const fabric::DateTimePtr midnight{g_date_time_new_utc(2024, 5, 6, 0, 0, 0.5)};
  gst_buffer_add_video_time_code_meta_full(
      buffer, 30000, 1001, midnight.get(),
      static_cast<GstVideoTimeCodeFlags>(GST_VIDEO_TIME_CODE_FLAGS_DROP_FRAME |
                                         GST_VIDEO_TIME_CODE_FLAGS_INTERLACED),
      10, 11, 12, 13, 2);
  gst_buffer_add_video_time_code_meta_full(buffer, 50, 1, nullptr, GST_VIDEO_TIME_CODE_FLAGS_NONE,
                                           1, 2, 3, 4, 0);
  const std::array<guint8, 3> caption{0xFC, 0x80, 0x00};
  gst_buffer_add_video_caption_meta(buffer, GST_VIDEO_CAPTION_TYPE_CEA708_RAW, caption.data(),
                                    caption.size());
  gst_buffer_add_video_caption_meta(buffer, GST_VIDEO_CAPTION_TYPE_CEA608_RAW, caption.data(), 2);
  GstVideoCropMeta* crop = gst_buffer_add_video_crop_meta(buffer);
  crop->x = 2;
  crop->y = 4;
  crop->width = 60;
  crop->height = 28;
  gst_buffer_add_video_afd_meta(buffer, 1, GST_VIDEO_AFD_SPEC_SMPTE_ST2016_1,
                                GST_VIDEO_AFD_16_9_LETTER_4_3_CENTER);
  gst_buffer_add_video_bar_meta(buffer, 1, TRUE, 20, 30)->field = 2;
  if (gst_meta_get_info("codec-sample") == nullptr) {
    std::array<const gchar*, 3> tags{"video", "colour", nullptr};
    gst_meta_register_custom("codec-sample", tags.data(), nullptr, nullptr, nullptr);
  }
  const StructurePtr fields = sample_structure("codec-sample");
  GstStructure* custom =
      gst_custom_meta_get_structure(gst_buffer_add_custom_meta(buffer, "codec-sample"));
  for (gint i = 0; i < gst_structure_n_fields(fields.get()); ++i) {
    const char* name = gst_structure_nth_field_name(fields.get(), static_cast<guint>(i));
    gst_structure_set_value(custom, name, gst_structure_get_value(fields.get(), name));
  }
  return owned;
}

BufferPtr sample_audio_buffer() {
  BufferPtr buffer{gst_buffer_new_allocate(nullptr, 400, nullptr)};
  GstAudioInfo info;
  gst_audio_info_init(&info);
  gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_S24LE, 48000, 2, nullptr);
  info.layout = GST_AUDIO_LAYOUT_NON_INTERLEAVED;
  std::array<gsize, 2> offsets{200, 10};
  gst_buffer_add_audio_meta(buffer.get(), &info, 48, offsets.data());
  return buffer;
}

std::vector<EventPtr> sample_events() {
  std::vector<EventPtr> events;
  const auto add = [&](GstEvent* event) { events.emplace_back(event); };
  add(gst_event_new_stream_start("stream/0"));
  gst_event_set_stream_flags(events.back().get(), GST_STREAM_FLAG_SPARSE);
  gst_event_set_group_id(events.back().get(), 42);
  add(gst_event_new_caps(caps("video/x-raw(memory:DMABuf), format=(string)NV12, width=(int)64,"
                              "framerate=(fraction)25/1")
                             .get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.flags = GST_SEGMENT_FLAG_SEGMENT;
  segment.rate = -2.0;
  segment.applied_rate = 0.5;
  segment.base = 1;
  segment.offset = 2;
  segment.start = 3;
  segment.stop = 400;
  segment.time = 5;
  segment.position = 6;
  segment.duration = 700;
  add(gst_event_new_segment(&segment));
  add(gst_event_new_tag(sample_tags(GST_TAG_SCOPE_STREAM).release()));
  add(gst_event_new_tag(sample_tags(GST_TAG_SCOPE_GLOBAL).release()));
  events.push_back(sample_toc(GST_TOC_SCOPE_GLOBAL));
  events.push_back(sample_toc(GST_TOC_SCOPE_CURRENT));
  add(gst_event_new_gap(11, 12));
  gst_event_set_gap_flags(events.back().get(), GST_GAP_FLAG_MISSING_DATA);
  add(gst_event_new_segment_done(GST_FORMAT_TIME, 99));
  add(gst_event_new_stream_group_done(42));
  add(gst_event_new_instant_rate_change(2.0, GST_SEGMENT_FLAG_TRICKMODE));
  add(gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, key_unit()));
  add(gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, nullptr));
  add(gst_event_new_custom(GST_EVENT_CUSTOM_BOTH, sample_structure("both").release()));
  add(gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, sample_structure("kept").release()));
  add(gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM, key_unit()));
  add(gst_event_new_reconfigure());
  add(gst_event_new_eos());
  for (std::size_t i = 0; i < events.size(); ++i) {
    gst_event_set_seqnum(events.at(i).get(), static_cast<guint32>(1000 + i));
    gst_event_set_running_time_offset(events.at(i).get(), -5);
  }
  return events;
}
