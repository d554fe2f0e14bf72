// SPDX-License-Identifier: Apache-2.0
#include <gst/audio/audio.h>
#include <gst/video/video-anc.h>
#include <gst/video/video.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "fabric_codec_samples.hpp"
#include "gstfabricevent.hpp"
#include "gstfabricmeta.hpp"
#include "gstfabricmeta_wire.hpp"
#include "gstfabricvalue.hpp"

using fabric::BufferPtr;
using fabric::EventPtr;
using fabric::StructurePtr;
using grainfabric::StreamEvent;
namespace wire = fabric::wire;

namespace {

using Bytes = std::vector<std::byte>;

Bytes serialized(GstBuffer* buffer) {
  Bytes bytes;
  fabric_meta_serialize(buffer, bytes);
  return bytes;
}

BufferPtr empty_buffer(gsize size) {
  return BufferPtr{gst_buffer_new_allocate(nullptr, size, nullptr)};
}

BufferPtr read_back(const Bytes& bytes, gsize size) {
  BufferPtr buffer = empty_buffer(size);
  fail_unless(fabric_meta_deserialize(buffer.get(), bytes));
  return buffer;
}

std::vector<GstMeta*> metas(GstBuffer* buffer, GType api) {
  std::vector<GstMeta*> found;
  gpointer state = nullptr;
  while (GstMeta* meta = gst_buffer_iterate_meta_filtered(buffer, &state, api)) {
    found.push_back(meta);
  }
  return found;
}

/// The nth meta of a kind of both buffers.
template <typename T>
std::pair<const T*, const T*> both(GstBuffer* a, GstBuffer* b, GType api, std::size_t n = 0) {
  return {reinterpret_cast<const T*>(metas(a, api).at(n)),
          reinterpret_cast<const T*>(metas(b, api).at(n))};
}

bool same_variant(const fabric::VariantPtr& a, const fabric::VariantPtr& b) {
  return g_variant_equal(a.get(), b.get()) != FALSE;
}

bool same_structure(const GstStructure* a, const GstStructure* b) {
  return same_variant(fabric::structure_to_variant(a), fabric::structure_to_variant(b));
}

/// A record around any body.
template <typename T>
Bytes record(wire::RecordType type, const T& body, std::string_view rest = {}) {
  const wire::RecordHeader header{static_cast<std::uint16_t>(type), wire::kRecordVersion,
                                  static_cast<std::uint32_t>(sizeof body + rest.size())};
  Bytes bytes(sizeof header + sizeof body + rest.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
  std::transform(rest.begin(), rest.end(), bytes.begin() + sizeof header + sizeof body,
                 [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

bool is_taken(const Bytes& bytes, gsize size) {
  return fabric_meta_deserialize(empty_buffer(size).get(), bytes);
}

/// 16x16 GRAY8, tightly packed: 256 bytes.
wire::Video gray() {
  wire::Video body{};
  std::memcpy(body.format.data(), "GRAY8", 5);
  body.width = 16;
  body.height = 16;
  body.planes = 1;
  body.stride[0] = 16;
  return body;
}

Bytes custom_record(const std::string& name, const GstStructure* structure) {
  Bytes structure_bytes;
  fabric::append_variant(fabric::structure_to_variant(structure).get(), structure_bytes);
  wire::Custom body;
  body.name_length = static_cast<std::uint16_t>(name.size());
  body.structure_length = static_cast<std::uint32_t>(structure_bytes.size());
  return record(wire::RecordType::custom, body,
                name + std::string{reinterpret_cast<const char*>(structure_bytes.data()),
                                   structure_bytes.size()});
}

EventPtr round_trip(GstEvent* event) {
  const auto stream = fabric_event_to_stream(event);
  fail_unless(stream.has_value());
  EventPtr read{fabric_event_from_stream(*stream)};
  fail_unless(read != nullptr, "%s did not come back", stream->name.c_str());
  return read;
}

}  // namespace

GST_START_TEST(video_and_ancillary_metas_round_trip) {
  const BufferPtr sent = sample_buffer();
  const BufferPtr got = read_back(serialized(sent.get()), 8192);
  GstBuffer* a = sent.get();
  GstBuffer* b = got.get();
  const auto [video, video2] = both<GstVideoMeta>(a, b, GST_VIDEO_META_API_TYPE);
  fail_unless(video->flags == video2->flags && video->format == video2->format);
  fail_unless(video->id == video2->id && video->n_planes == video2->n_planes);
  fail_unless(video->width == video2->width && video->height == video2->height);
  fail_unless(std::equal(video->offset, video->offset + 3, video2->offset));
  fail_unless(std::equal(video->stride, video->stride + 3, video2->stride));
  fail_unless(std::memcmp(&video->alignment, &video2->alignment, sizeof video->alignment) == 0);
  for (std::size_t n = 0; n < 2; ++n) {
    const auto [time, time2] =
        both<GstReferenceTimestampMeta>(a, b, GST_REFERENCE_TIMESTAMP_META_API_TYPE, n);
    fail_unless(gst_caps_is_strictly_equal(time->reference, time2->reference));
    fail_unless(time->timestamp == time2->timestamp && time->duration == time2->duration);
    const auto [code, code2] =
        both<GstVideoTimeCodeMeta>(a, b, GST_VIDEO_TIME_CODE_META_API_TYPE, n);
    const GstVideoTimeCode& tc = code->tc;
    const GstVideoTimeCode& tc2 = code2->tc;
    fail_unless(tc.config.fps_n == tc2.config.fps_n && tc.config.fps_d == tc2.config.fps_d);
    fail_unless(tc.config.flags == tc2.config.flags && tc.hours == tc2.hours);
    fail_unless(tc.minutes == tc2.minutes && tc.seconds == tc2.seconds);
    fail_unless(tc.frames == tc2.frames && tc.field_count == tc2.field_count);
    GDateTime* jam = tc.config.latest_daily_jam;
    GDateTime* jam2 = tc2.config.latest_daily_jam;
    fail_unless((jam == nullptr) == (jam2 == nullptr));
    fail_unless(jam == nullptr || g_date_time_equal(jam, jam2));
    const auto [text, text2] = both<GstVideoCaptionMeta>(a, b, GST_VIDEO_CAPTION_META_API_TYPE, n);
    fail_unless(text->caption_type == text2->caption_type && text->size == text2->size);
    fail_unless(std::memcmp(text->data, text2->data, text->size) == 0);
  }
  const auto [crop, crop2] = both<GstVideoCropMeta>(a, b, GST_VIDEO_CROP_META_API_TYPE);
  fail_unless(crop->x == crop2->x && crop->y == crop2->y);
  fail_unless(crop->width == crop2->width && crop->height == crop2->height);
  const auto [afd, afd2] = both<GstVideoAFDMeta>(a, b, GST_VIDEO_AFD_META_API_TYPE);
  fail_unless(afd->field == afd2->field && afd->spec == afd2->spec && afd->afd == afd2->afd);
  const auto [bar, bar2] = both<GstVideoBarMeta>(a, b, GST_VIDEO_BAR_META_API_TYPE);
  fail_unless(bar->field == bar2->field && bar->is_letterbox == bar2->is_letterbox);
  fail_unless(bar->bar_data1 == bar2->bar_data1 && bar->bar_data2 == bar2->bar_data2);
  // The same bytes again: nothing lost, the order kept.
  fail_unless(serialized(a) == serialized(b));
}
GST_END_TEST

GST_START_TEST(audio_meta_round_trips) {
  const BufferPtr sent = sample_audio_buffer();
  const BufferPtr got = read_back(serialized(sent.get()), 400);
  const auto [a, b] = both<GstAudioMeta>(sent.get(), got.get(), GST_AUDIO_META_API_TYPE);
  fail_unless(gst_audio_info_is_equal(&a->info, &b->info));
  fail_unless(a->info.layout == b->info.layout && a->samples == b->samples);
  fail_unless(a->offsets[0] == b->offsets[0] && a->offsets[1] == b->offsets[1]);
}
GST_END_TEST

GST_START_TEST(every_kind_of_structure_field_round_trips) {
  const StructurePtr sent = sample_structure("kinds");
  const StructurePtr got =
      fabric::structure_from_variant(fabric::structure_to_variant(sent.get()).get());
  fail_unless(got != nullptr);
  assert_equals_int(gst_structure_n_fields(sent.get()), gst_structure_n_fields(got.get()));
  for (gint i = 0; i < gst_structure_n_fields(sent.get()); ++i) {
    const char* name = gst_structure_nth_field_name(sent.get(), static_cast<guint>(i));
    const GValue* value = gst_structure_get_value(got.get(), name);
    fail_unless(value != nullptr, "%s is missing", name);
    fail_unless(G_VALUE_TYPE(value) == gst_structure_get_field_type(sent.get(), name), "%s", name);
  }
  fail_unless(same_structure(sent.get(), got.get()));
}
GST_END_TEST

GST_START_TEST(a_field_without_meaning_elsewhere_is_left_out) {
  const StructurePtr sent{
      gst_structure_new("s", "pointer", G_TYPE_POINTER, nullptr, "kept", G_TYPE_INT, 1, nullptr)};
  const StructurePtr got =
      fabric::structure_from_variant(fabric::structure_to_variant(sent.get()).get());
  fail_unless(got != nullptr && gst_structure_n_fields(got.get()) == 1);
  fail_unless(gst_structure_has_field(got.get(), "kept"));
}
GST_END_TEST

GST_START_TEST(a_buffer_without_metas_that_travel_is_nothing) {
  fail_unless(serialized(empty_buffer(16).get()).empty());
}
GST_END_TEST

GST_START_TEST(records_of_unknown_type_or_version_are_skipped) {
  Bytes bytes = record(static_cast<wire::RecordType>(999), wire::U32{7});
  Bytes newer = record(wire::RecordType::crop, wire::U32{7});
  newer.at(2) = std::byte{2};
  bytes.insert(bytes.end(), newer.begin(), newer.end());
  const Bytes known = record(wire::RecordType::video, gray());
  bytes.insert(bytes.end(), known.begin(), known.end());
  const BufferPtr got = read_back(bytes, 256);
  fail_unless(gst_buffer_get_n_meta(got.get(), GST_VIDEO_META_API_TYPE) == 1);
}
GST_END_TEST

GST_START_TEST(video_planes_must_lie_in_the_buffer) {
  fail_unless(is_taken(record(wire::RecordType::video, gray()), 256));
  fail_if(is_taken(record(wire::RecordType::video, gray()), 255));
  wire::Video body = gray();
  body.offset[0] = 1;
  fail_if(is_taken(record(wire::RecordType::video, body), 256));
  body.offset[0] = ~std::uint64_t{0} - 100;
  fail_if(is_taken(record(wire::RecordType::video, body), 256));
  body = gray();
  body.stride[0] = -16;
  body.offset[0] = 240;
  fail_if(is_taken(record(wire::RecordType::video, body), 256));
  body = gray();
  body.height = 32;
  fail_if(is_taken(record(wire::RecordType::video, body), 256));
  body = gray();
  body.planes = 5;
  fail_if(is_taken(record(wire::RecordType::video, body), 256));
  body = gray();
  body.format.fill('G');
  fail_if(is_taken(record(wire::RecordType::video, body), 256));
}
GST_END_TEST

GST_START_TEST(a_single_field_has_half_the_lines) {
  const BufferPtr buffer = empty_buffer(128);
  GST_BUFFER_FLAG_SET(buffer.get(), GST_VIDEO_BUFFER_FLAG_ONEFIELD);
  fail_unless(fabric_meta_deserialize(buffer.get(), record(wire::RecordType::video, gray())));
}
GST_END_TEST

GST_START_TEST(gstreamers_own_layout_of_every_format_is_taken) {
  guint count = 0;
  const GstVideoFormat* formats = static_cast<const GstVideoFormat*>(gst_video_formats_raw(&count));
  for (guint i = 0; i < count; ++i) {
    if (formats[i] == GST_VIDEO_FORMAT_ENCODED) continue;
    GstVideoInfo info;
    if (!gst_video_info_set_format(&info, formats[i], 322, 242)) continue;
    const BufferPtr sent = empty_buffer(GST_VIDEO_INFO_SIZE(&info));
    gst_buffer_add_video_meta_full(sent.get(), GST_VIDEO_FRAME_FLAG_NONE, formats[i], 322, 242,
                                   GST_VIDEO_INFO_N_PLANES(&info), info.offset, info.stride);
    fail_unless(is_taken(serialized(sent.get()), GST_VIDEO_INFO_SIZE(&info)), "%s",
                gst_video_format_to_string(formats[i]));
  }
}
GST_END_TEST

GST_START_TEST(audio_planes_must_not_overlap) {
  Bytes bytes = serialized(sample_audio_buffer().get());
  // The first offset, behind header, body and two positions: into the plane that starts at 10.
  const std::size_t offset = sizeof(wire::RecordHeader) + sizeof(wire::Audio) + 8;
  bytes.at(offset) = std::byte{100};
  fail_if(is_taken(bytes, 400));
}
GST_END_TEST

GST_START_TEST(an_unknown_custom_meta_is_registered) {
  fail_unless(gst_meta_get_info("only-the-peer-has-it") == nullptr);
  const StructurePtr structure{
      gst_structure_new("only-the-peer-has-it", "n", G_TYPE_INT, 5, nullptr)};
  const BufferPtr got = read_back(custom_record("only-the-peer-has-it", structure.get()), 16);
  GstCustomMeta* meta = gst_buffer_get_custom_meta(got.get(), "only-the-peer-has-it");
  fail_unless(meta != nullptr);
  fail_unless(same_structure(structure.get(), gst_custom_meta_get_structure(meta)));
}
GST_END_TEST

GST_START_TEST(a_custom_meta_keeps_its_tags_and_fields) {
  const BufferPtr sent = sample_buffer();
  const BufferPtr got = read_back(serialized(sent.get()), 8192);
  GstCustomMeta* meta = gst_buffer_get_custom_meta(got.get(), "codec-sample");
  fail_unless(meta != nullptr);
  fail_unless(gst_meta_api_type_has_tag(gst_meta_get_info("codec-sample")->api,
                                        g_quark_from_string("colour")));
  fail_unless(
      same_structure(sample_structure("codec-sample").get(), gst_custom_meta_get_structure(meta)));
}
GST_END_TEST

GST_START_TEST(a_custom_meta_cannot_take_the_name_of_another_type) {
  gst_video_crop_meta_get_info();
  for (const char* name : {"GstVideoCropMeta", "GstElement", "gint"}) {
    const StructurePtr structure{gst_structure_new_empty(name)};
    fail_if(is_taken(custom_record(name, structure.get()), 16), "%s", name);
  }
  // Not there yet, and not the peer's to define.
  const StructurePtr structure{gst_structure_new_empty("GstSomeLibraryMeta")};
  fail_unless(is_taken(custom_record("GstSomeLibraryMeta", structure.get()), 16));
  fail_unless(gst_meta_get_info("GstSomeLibraryMeta") == nullptr);
}
GST_END_TEST

GST_START_TEST(every_event_round_trips) {
  for (const EventPtr& sent : sample_events()) {
    const EventPtr got = round_trip(sent.get());
    fail_unless(GST_EVENT_TYPE(got.get()) == GST_EVENT_TYPE(sent.get()));
    fail_unless(gst_event_get_seqnum(got.get()) == gst_event_get_seqnum(sent.get()));
    fail_unless(gst_event_get_running_time_offset(got.get()) == -5);
    const auto first = fabric_event_to_stream(sent.get());
    const auto second = fabric_event_to_stream(got.get());
    fail_unless(first->name == second->name && first->sticky == second->sticky);
    fail_unless(first->body == second->body, "%s changed", first->name.c_str());
  }
}
GST_END_TEST

GST_START_TEST(a_segment_keeps_every_field) {
  const std::vector<EventPtr> events = sample_events();
  const GstSegment* sent = nullptr;
  const GstSegment* got = nullptr;
  gst_event_parse_segment(events.at(2).get(), &sent);
  const EventPtr read = round_trip(events.at(2).get());
  gst_event_parse_segment(read.get(), &got);
  fail_unless(gst_segment_is_equal(sent, got));
  fail_unless(sent->position == got->position && sent->duration == got->duration);
}
GST_END_TEST

GST_START_TEST(caps_tags_and_contents_tables_are_equal_afterwards) {
  const std::vector<EventPtr> events = sample_events();
  GstCaps* caps = nullptr;
  GstCaps* caps2 = nullptr;
  const EventPtr got_caps = round_trip(events.at(1).get());
  gst_event_parse_caps(events.at(1).get(), &caps);
  gst_event_parse_caps(got_caps.get(), &caps2);
  fail_unless(gst_caps_is_strictly_equal(caps, caps2));
  GstTagList* tags = nullptr;
  const EventPtr got_tags = round_trip(events.at(3).get());
  gst_event_parse_tag(got_tags.get(), &tags);
  assert_equals_int(gst_tag_list_get_tag_size(tags, GST_TAG_ARTIST), 2);
  GstSample* lent = nullptr;
  fail_unless(gst_tag_list_get_sample(tags, GST_TAG_IMAGE, &lent));
  const fabric::SamplePtr image{lent};
  fail_unless(gst_buffer_memcmp(gst_sample_get_buffer(image.get()), 0, "jpeg", 4) == 0);
  GstToc* toc = nullptr;
  gboolean updated = FALSE;
  const EventPtr got_toc = round_trip(events.at(5).get());
  gst_event_parse_toc(got_toc.get(), &toc, &updated);
  const fabric::TocPtr owned{toc};
  const GstTocEntry* chapter = gst_toc_find_entry(toc, "chapter");
  gint64 start = 0;
  gint64 stop = 0;
  fail_unless(updated && chapter != nullptr);
  fail_unless(gst_toc_entry_get_start_stop_times(chapter, &start, &stop));
  fail_unless(start == 7 && stop == 9);
}
GST_END_TEST

GST_START_TEST(events_are_named_and_kept_by_their_kind) {
  const StructurePtr a{gst_structure_new_empty("a")};
  const EventPtr sticky{
      gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, gst_structure_copy(a.get()))};
  StreamEvent stream = *fabric_event_to_stream(sticky.get());
  fail_unless(stream.name == "custom-downstream-sticky:a" && stream.sticky);
  stream.name = "custom-downstream-sticky:b";
  fail_unless(fabric_event_from_stream(stream) == nullptr);
  const std::vector<EventPtr> events = sample_events();
  fail_unless(fabric_event_to_stream(events.at(3).get())->name == "tag:stream");
  fail_unless(fabric_event_to_stream(events.at(4).get())->name == "tag:global");
  fail_unless(fabric_event_to_stream(events.back().get())->sticky);
}
GST_END_TEST

GST_START_TEST(events_of_one_process_stay_there) {
  for (GstEvent* event :
       {gst_event_new_flush_start(), gst_event_new_latency(5), gst_event_new_flush_stop(TRUE),
        gst_event_new_navigation(gst_structure_new_empty("key"))}) {
    const EventPtr owned{event};
    fail_if(fabric_event_to_stream(event).has_value());
  }
}
GST_END_TEST

GST_START_TEST(an_event_beyond_the_limit_is_not_sent) {
  const std::string text(grainfabric::kMaxEventBody, 'x');
  const EventPtr event{gst_event_new_custom(
      GST_EVENT_CUSTOM_DOWNSTREAM,
      gst_structure_new("large", "text", G_TYPE_STRING, text.c_str(), nullptr))};
  fail_if(fabric_event_to_stream(event.get()).has_value());
}
GST_END_TEST

GST_START_TEST(an_event_of_unknown_name_is_refused) {
  const EventPtr eos{gst_event_new_eos()};
  StreamEvent stream = *fabric_event_to_stream(eos.get());
  stream.name = "from-the-future";
  fail_unless(fabric_event_from_stream(stream) == nullptr);
}
GST_END_TEST

namespace {

Suite* codec_suite() {
  Suite* suite = suite_create("fabric codec");
  TCase* cases = tcase_create("codec");
  tcase_add_test(cases, video_and_ancillary_metas_round_trip);
  tcase_add_test(cases, audio_meta_round_trips);
  tcase_add_test(cases, every_kind_of_structure_field_round_trips);
  tcase_add_test(cases, a_field_without_meaning_elsewhere_is_left_out);
  tcase_add_test(cases, a_buffer_without_metas_that_travel_is_nothing);
  tcase_add_test(cases, records_of_unknown_type_or_version_are_skipped);
  tcase_add_test(cases, video_planes_must_lie_in_the_buffer);
  tcase_add_test(cases, a_single_field_has_half_the_lines);
  tcase_add_test(cases, gstreamers_own_layout_of_every_format_is_taken);
  tcase_add_test(cases, audio_planes_must_not_overlap);
  tcase_add_test(cases, an_unknown_custom_meta_is_registered);
  tcase_add_test(cases, a_custom_meta_keeps_its_tags_and_fields);
  tcase_add_test(cases, a_custom_meta_cannot_take_the_name_of_another_type);
  tcase_add_test(cases, every_event_round_trips);
  tcase_add_test(cases, a_segment_keeps_every_field);
  tcase_add_test(cases, caps_tags_and_contents_tables_are_equal_afterwards);
  tcase_add_test(cases, events_are_named_and_kept_by_their_kind);
  tcase_add_test(cases, events_of_one_process_stay_there);
  tcase_add_test(cases, an_event_beyond_the_limit_is_not_sent);
  tcase_add_test(cases, an_event_of_unknown_name_is_refused);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

int main(int argc, char** argv) {
  gst_check_init(&argc, &argv);
  // Whatever a peer sends, no warning and no critical: gst_check_init() lets warnings pass.
  g_log_set_always_fatal(
      static_cast<GLogLevelFlags>(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING));
  const int failed = gst_check_run_suite(codec_suite(), "fabric_codec", __FILE__);
  return failed + gst_check_run_suite(hostile_suite(), "fabric_codec_hostile", __FILE__);
}
