// SPDX-License-Identifier: Apache-2.0
#include <gst/audio/audio.h>
#include <gst/video/video-anc.h>
#include <gst/video/video.h>

#include "fabric_codec_samples.hpp"
#include "gstfabricmeta.hpp"
#include "pair.hpp"

using namespace fabric::test;
using fabric::BufferPtr;

namespace {

struct Pair {
  Receiver receiver{Properties{}, Receiver::Keep::originals};
  Sender sender;
  explicit Pair(const char* caps, bool understands_video_meta = true)
      : sender((receiver.understands_video_meta = understands_video_meta, receiver.start(),
                receiver.port())) {
    sender.set_state(GST_STATE_PLAYING);
    sender.begin(caps);
    // The first buffer of a session has DISCONT: later ones have what they were sent with.
    sender.push(BufferPtr(gst_buffer_new()));
    fail_unless(receiver.wait_buffers(1));
    receiver.take();
  }
  Item pass(BufferPtr buffer) {
    const std::size_t before = receiver.buffers();
    fail_unless_equals_int(sender.push(std::move(buffer)), GST_FLOW_OK);
    fail_unless(receiver.wait_buffers(before + 1));
    return std::move(receiver.take_buffers().at(0));
  }
};

const char* const kVideo = "video/x-raw,format=I420,width=64,height=32,framerate=25/1";
const char* const kAlternate =
    "video/x-raw(format:Interlaced),format=I420,width=64,height=32,framerate=25/1,"
    "interlace-mode=alternate";

/// The metas as they travel, without the absolute time that the receiver adds. Of no copy:
/// GStreamer 1.22 does not copy every bar meta that it reads from a stream.
std::vector<std::byte> metas_of(GstBuffer* buffer) {
  const fabric::CapsPtr tai = caps_of("timestamp/x-tai");
  if (auto* meta = gst_buffer_get_reference_timestamp_meta(buffer, tai.get())) {
    gst_buffer_remove_meta(buffer, &meta->parent);
  }
  std::vector<std::byte> bytes;
  fabric_meta_serialize(buffer, bytes);
  return bytes;
}

/// A picture in a layout of its own, with metas that GStreamer 1.22 copies.
BufferPtr padded_buffer() {
  BufferPtr buffer = sample_buffer();
  auto* bar = gst_buffer_get_meta(buffer.get(), GST_VIDEO_BAR_META_API_TYPE);
  gst_buffer_remove_meta(buffer.get(), bar);
  return buffer;
}

BufferPtr filled(BufferPtr buffer) {
  gst_buffer_memset(buffer.get(), 0, 0x5A, gst_buffer_get_size(buffer.get()));
  return buffer;
}

}  // namespace

GST_START_TEST(every_meta_of_video_arrives) {
  Pair pair(kVideo);
  const BufferPtr sent = filled(sample_buffer());
  const Item got = pair.pass(filled(sample_buffer()));
  GstBuffer* buffer = got.buffer.get();
  const std::pair<GType, guint> expected[] = {
      {GST_VIDEO_META_API_TYPE, 1},         {GST_VIDEO_TIME_CODE_META_API_TYPE, 2},
      {GST_VIDEO_CAPTION_META_API_TYPE, 2}, {GST_VIDEO_CROP_META_API_TYPE, 1},
      {GST_VIDEO_AFD_META_API_TYPE, 1},     {GST_VIDEO_BAR_META_API_TYPE, 1},
  };
  for (const auto& [type, count] : expected) {
    fail_unless_equals_int(gst_buffer_get_n_meta(buffer, type), count);
  }
  fail_unless(gst_buffer_get_custom_meta(buffer, "codec-sample") != nullptr);
  for (const char* clock : {"timestamp/x-ptp", "timestamp/x-clock"}) {
    fail_unless(gst_buffer_get_reference_timestamp_meta(buffer, caps_of(clock).get()) != nullptr);
  }
  const GstVideoMeta* video = gst_buffer_get_video_meta(buffer);
  fail_unless(video->stride[0] == 80 && video->stride[1] == 48 && video->offset[2] == 5000);
  fail_unless(metas_of(buffer) == metas_of(sent.get()));
  fail_unless(bytes_of(buffer) == bytes_of(sent.get()));
}
GST_END_TEST

GST_START_TEST(a_picture_copied_for_what_knows_no_strides_keeps_all_other_metas) {
  Pair pair(kVideo, false);
  const Item got = pair.pass(padded_buffer());
  GstBuffer* buffer = got.buffer.get();
  fail_unless_equals_uint64(gst_buffer_get_size(buffer), 3072);
  const std::pair<GType, guint> expected[] = {
      {GST_VIDEO_META_API_TYPE, 0},         {GST_VIDEO_TIME_CODE_META_API_TYPE, 2},
      {GST_VIDEO_CAPTION_META_API_TYPE, 2}, {GST_VIDEO_CROP_META_API_TYPE, 1},
      {GST_VIDEO_AFD_META_API_TYPE, 1},
  };
  for (const auto& [type, count] : expected) {
    fail_unless_equals_int(gst_buffer_get_n_meta(buffer, type), count);
  }
  fail_unless(gst_buffer_get_custom_meta(buffer, "codec-sample") != nullptr);
  for (const char* clock : {"timestamp/x-ptp", "timestamp/x-clock"}) {
    fail_unless(gst_buffer_get_reference_timestamp_meta(buffer, caps_of(clock).get()) != nullptr);
  }
}
GST_END_TEST

GST_START_TEST(what_comes_later_downstream_is_asked_too_whether_it_knows_strides) {
  Pair pair(kVideo);
  for (const bool understands : {true, false, true}) {
    pair.receiver.understands_video_meta = understands;
    pair.receiver.send_upstream(gst_event_new_reconfigure());
    const Item got = pair.pass(padded_buffer());
    fail_unless_equals_int(gst_buffer_get_video_meta(got.buffer.get()) != nullptr, understands);
    fail_unless_equals_uint64(gst_buffer_get_size(got.buffer.get()), understands ? 8192 : 3072);
  }
}
GST_END_TEST

GST_START_TEST(the_meta_of_planar_audio_arrives) {
  Pair pair(
      "audio/x-raw,format=S24LE,rate=48000,channels=2,layout=non-interleaved,"
      "channel-mask=(bitmask)0x3");
  const BufferPtr sent = filled(sample_audio_buffer());
  const Item got = pair.pass(filled(sample_audio_buffer()));
  const GstAudioMeta* meta = gst_buffer_get_audio_meta(got.buffer.get());
  fail_unless(meta != nullptr && meta->samples == 48);
  fail_unless(meta->offsets[0] == 200 && meta->offsets[1] == 10);
  fail_unless(metas_of(got.buffer.get()) == metas_of(sent.get()));
}
GST_END_TEST

GST_START_TEST(an_audio_meta_that_does_not_fit_the_caps_is_refused) {
  // What reads planes takes their number and their samples' size from the caps.
  const auto caps_with = [](const char* format, const char* rate, const char* rest) {
    return std::string("audio/x-raw,format=") + format + ",rate=" + rate +
           ",channel-mask=(bitmask)0x0," + rest;
  };
  const char* const kPlanes = "channels=2,layout=non-interleaved";
  for (const std::string& caps :
       {caps_with("F64LE", "48000", kPlanes), caps_with("S24LE", "44100", kPlanes),
        caps_with("S24LE", "48000", "channels=8,layout=non-interleaved"),
        caps_with("S24LE", "48000", "channels=2,layout=interleaved")}) {
    Pair pair(caps.c_str());
    pair.sender.push(filled(sample_audio_buffer()));
    fail_unless(pair.receiver.wait_message(GST_MESSAGE_WARNING) != nullptr, "%s", caps.c_str());
    fail_unless(pair.receiver.take_buffers().empty(), "%s", caps.c_str());
  }
}
GST_END_TEST

GST_START_TEST(planes_of_audio_that_no_meta_tells_of_are_refused) {
  Pair pair(
      "audio/x-raw,format=S24LE,rate=48000,channels=2,layout=non-interleaved,"
      "channel-mask=(bitmask)0x3");
  pair.sender.push(buffer_of(std::string(400, 'a')));
  fail_unless(pair.receiver.wait_message(GST_MESSAGE_WARNING) != nullptr);
  fail_unless(pair.receiver.take_buffers().empty());
}
GST_END_TEST

GST_START_TEST(a_buffer_does_not_inherit_the_metas_of_the_slot_before_it) {
  Pair pair(kVideo);
  for (int i = 0; i < 20; ++i) {
    const Item full = pair.pass(sample_buffer());
    fail_unless(gst_buffer_get_video_meta(full.buffer.get()) != nullptr);
    const Item plain = pair.pass(buffer_of(std::string(3072, 'p')));
    fail_unless(metas_of(plain.buffer.get()).empty());
    fail_unless_equals_uint64(gst_buffer_get_size(plain.buffer.get()), 3072);
  }
}
GST_END_TEST

GST_START_TEST(every_flag_of_a_buffer_arrives_and_no_other) {
  // Not TAG_MEMORY: it says what the sender's process did with its memory.
  constexpr guint kFlags[] = {
      GST_BUFFER_FLAG_LIVE,       GST_BUFFER_FLAG_DECODE_ONLY, GST_BUFFER_FLAG_DISCONT,
      GST_BUFFER_FLAG_RESYNC,     GST_BUFFER_FLAG_CORRUPTED,   GST_BUFFER_FLAG_MARKER,
      GST_BUFFER_FLAG_HEADER,     GST_BUFFER_FLAG_GAP,         GST_BUFFER_FLAG_DROPPABLE,
      GST_BUFFER_FLAG_DELTA_UNIT, GST_BUFFER_FLAG_SYNC_AFTER,  GST_BUFFER_FLAG_NON_DROPPABLE,
      GST_BUFFER_FLAG_LAST << 0U, GST_BUFFER_FLAG_LAST << 1U,  GST_BUFFER_FLAG_LAST << 5U,
      GST_BUFFER_FLAG_LAST << 9U,
  };
  Pair pair("application/x-anything");
  fail_unless_equals_int_hex(pair.pass(buffer_of("plain")).flags, 0);
  guint all = 0;
  for (const guint flag : kFlags) {
    for (const char* payload : {"bytes", ""}) {
      BufferPtr buffer = *payload != '\0' ? buffer_of(payload) : BufferPtr(gst_buffer_new());
      GST_BUFFER_FLAG_UNSET(buffer.get(), GST_BUFFER_FLAG_TAG_MEMORY);
      GST_BUFFER_FLAG_SET(buffer.get(), flag);
      fail_unless_equals_int_hex(pair.pass(std::move(buffer)).flags, flag);
    }
    all |= flag;
  }
  BufferPtr buffer = buffer_of("bytes");
  GST_BUFFER_FLAG_SET(buffer.get(), all | GST_BUFFER_FLAG_TAG_MEMORY);
  fail_unless_equals_int_hex(pair.pass(std::move(buffer)).flags, all);
}
GST_END_TEST

GST_START_TEST(the_flags_of_video_arrive) {
  constexpr guint kFlags[] = {
      GST_VIDEO_BUFFER_FLAG_INTERLACED,
      GST_VIDEO_BUFFER_FLAG_TFF,
      GST_VIDEO_BUFFER_FLAG_RFF,
      GST_VIDEO_BUFFER_FLAG_MULTIPLE_VIEW,
      GST_VIDEO_BUFFER_FLAG_FIRST_IN_BUNDLE,
  };
  Pair pair("video/x-raw,format=I420,width=64,height=32,framerate=25/1,interlace-mode=mixed");
  for (const guint flag : kFlags) {
    BufferPtr buffer = buffer_of(std::string(3072, 'v'));
    GST_BUFFER_FLAG_SET(buffer.get(), flag);
    fail_unless_equals_int_hex(pair.pass(std::move(buffer)).flags, flag);
  }
}
GST_END_TEST

GST_START_TEST(single_fields_arrive_as_such) {
  Pair pair(kAlternate);
  for (const guint field : {GST_VIDEO_BUFFER_FLAG_TOP_FIELD, GST_VIDEO_BUFFER_FLAG_BOTTOM_FIELD}) {
    BufferPtr buffer = buffer_of(std::string(1536, 'f'));
    GST_BUFFER_FLAG_SET(buffer.get(), field | GST_VIDEO_BUFFER_FLAG_INTERLACED);
    const Item got = pair.pass(std::move(buffer));
    fail_unless_equals_int_hex(got.flags, field | GST_VIDEO_BUFFER_FLAG_INTERLACED);
    fail_unless_equals_uint64(gst_buffer_get_size(got.buffer.get()), 1536);
  }
}
GST_END_TEST

namespace {

Suite* metas_suite() {
  Suite* suite = suite_create("metas and flags");
  TCase* cases = tcase_create("metas and flags");
  tcase_add_test(cases, every_meta_of_video_arrives);
  tcase_add_test(cases, a_picture_copied_for_what_knows_no_strides_keeps_all_other_metas);
  tcase_add_test(cases, what_comes_later_downstream_is_asked_too_whether_it_knows_strides);
  tcase_add_test(cases, the_meta_of_planar_audio_arrives);
  tcase_add_test(cases, an_audio_meta_that_does_not_fit_the_caps_is_refused);
  tcase_add_test(cases, planes_of_audio_that_no_meta_tells_of_are_refused);
  tcase_add_test(cases, a_buffer_does_not_inherit_the_metas_of_the_slot_before_it);
  tcase_add_test(cases, every_flag_of_a_buffer_arrives_and_no_other);
  tcase_add_test(cases, the_flags_of_video_arrive);
  tcase_add_test(cases, single_fields_arrive_as_such);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(metas)
