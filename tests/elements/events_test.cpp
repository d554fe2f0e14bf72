// SPDX-License-Identifier: Apache-2.0
#include "fabric_codec_samples.hpp"
#include "gstfabricvalue.hpp"
#include "pair.hpp"

using namespace fabric::test;
using fabric::BufferPtr;
using fabric::CapsPtr;
using fabric::EventPtr;

namespace {

struct Pair {
  Receiver receiver;
  Sender sender;
  explicit Pair(const Properties& of_receiver = {})
      : receiver(of_receiver), sender((receiver.start(), receiver.port())) {
    sender.set_state(GST_STATE_PLAYING);
  }
};

BufferPtr numbered(guint64 number, std::size_t size = 100) {
  BufferPtr buffer = buffer_of(std::string(size, static_cast<char>(number)));
  GST_BUFFER_OFFSET(buffer.get()) = number;
  return buffer;
}

/// "stream-start caps segment 0 tag 1 …": the kinds of events, and the numbers of buffers.
std::string order_of(const std::vector<Item>& items) {
  std::string order;
  for (const Item& item : items) {
    order += order.empty() ? "" : " ";
    order += item.buffer ? std::to_string(GST_BUFFER_OFFSET(item.buffer.get()))
                         : GST_EVENT_TYPE_NAME(item.event.get());
  }
  return order;
}

void expect_order(const std::vector<Item>& items, const char* expected) {
  const std::string order = order_of(items);
  fail_unless_equals_string(order.c_str(), expected);
}

/// The nth event of a kind.
GstEvent* event_of(const std::vector<Item>& items, GstEventType type, std::size_t n = 0) {
  for (const Item& item : items) {
    if (item.is(type) && n-- == 0) return item.event.get();
  }
  fail_unless(false, "no such %s", gst_event_type_get_name(type));
  return nullptr;
}

GstEvent* caps_event(const char* text) {
  return gst_event_new_caps(caps_of(text).get());
}

GstEvent* segment_event(GstClockTime start) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = segment.time = start;
  return gst_event_new_segment(&segment);
}

GstEvent* tag_event(const char* title, GstTagScope scope) {
  GstTagList* tags = gst_tag_list_new(GST_TAG_TITLE, title, nullptr);
  gst_tag_list_set_scope(tags, scope);
  return gst_event_new_tag(tags);
}

GstEvent* custom_event(GstEventType type, const char* name) {
  return gst_event_new_custom(type, sample_structure(name).release());
}

bool same(const GstStructure* a, const GstStructure* b) {
  return g_variant_equal(fabric::structure_to_variant(a).get(),
                         fabric::structure_to_variant(b).get());
}

}  // namespace

GST_START_TEST(every_event_arrives_between_the_right_buffers) {
  Pair pair;
  Sender& sender = pair.sender;
  GstEvent* start = gst_event_new_stream_start("the/stream");
  gst_event_set_stream_flags(start, GST_STREAM_FLAG_SPARSE);
  sender.push(start);
  sender.push(caps_event("application/x-anything"));
  sender.push(segment_event(0));
  sender.push(numbered(0));
  sender.push(tag_event("one", GST_TAG_SCOPE_STREAM));
  sender.push(tag_event("all", GST_TAG_SCOPE_GLOBAL));
  sender.push(numbered(1));
  sender.push(gst_event_new_gap(GST_SECOND, 2 * GST_SECOND));
  sender.push(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM, "passing"));
  sender.push(numbered(2));
  sender.push(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, "staying"));
  sender.push(custom_event(GST_EVENT_CUSTOM_BOTH, "either"));
  sender.push(numbered(3));
  sender.push(caps_event("application/x-anything,larger=true"));
  sender.push(numbered(4, 500'000));
  sender.push(numbered(5));
  sender.push(segment_event(GST_SECOND));
  sender.push(numbered(6));
  for (EventPtr& event : sample_events()) {
    if (GST_EVENT_TYPE(event.get()) == GST_EVENT_TOC) sender.push(event.release());
  }
  sender.push(gst_event_new_segment_done(GST_FORMAT_TIME, 99));
  sender.push(numbered(7));
  sender.push(gst_event_new_eos());
  fail_unless(pair.receiver.wait_event(GST_EVENT_EOS));
  const auto items = pair.receiver.take();
  expect_order(
      items,
      "stream-start caps segment 0 tag tag 1 gap custom-downstream 2 custom-downstream-sticky "
      "custom-both 3 caps 4 5 segment 6 toc toc segment-done 7 eos");

  const gchar* stream_id = nullptr;
  GstStreamFlags flags = GST_STREAM_FLAG_NONE;
  gst_event_parse_stream_start(event_of(items, GST_EVENT_STREAM_START), &stream_id);
  gst_event_parse_stream_flags(event_of(items, GST_EVENT_STREAM_START), &flags);
  fail_unless_equals_string(stream_id, "the/stream");
  fail_unless_equals_int(flags, GST_STREAM_FLAG_SPARSE);
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event_of(items, GST_EVENT_CAPS, 1), &caps);
  fail_unless(
      gst_caps_is_strictly_equal(caps, caps_of("application/x-anything,larger=true").get()));
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event_of(items, GST_EVENT_SEGMENT, 1), &segment);
  fail_unless_equals_uint64(segment->start, GST_SECOND);
  for (std::size_t i = 0; i < 2; ++i) {
    GstTagList* tags = nullptr;
    gst_event_parse_tag(event_of(items, GST_EVENT_TAG, i), &tags);
    gchar* title = nullptr;
    fail_unless(gst_tag_list_get_string(tags, GST_TAG_TITLE, &title));
    fail_unless_equals_string(title, i == 0 ? "one" : "all");
    g_free(title);
    fail_unless(gst_tag_list_get_scope(tags) ==
                (i == 0 ? GST_TAG_SCOPE_STREAM : GST_TAG_SCOPE_GLOBAL));
  }
  GstClockTime timestamp = 0;
  GstClockTime duration = 0;
  gst_event_parse_gap(event_of(items, GST_EVENT_GAP), &timestamp, &duration);
  fail_unless_equals_uint64(timestamp, GST_SECOND);
  fail_unless_equals_uint64(duration, 2 * GST_SECOND);
  const std::pair<GstEventType, const char*> customs[] = {
      {GST_EVENT_CUSTOM_DOWNSTREAM, "passing"},
      {GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, "staying"},
      {GST_EVENT_CUSTOM_BOTH, "either"}};
  for (const auto& [type, name] : customs) {
    fail_unless(same(gst_event_get_structure(event_of(items, type)), sample_structure(name).get()),
                "%s", name);
  }
}
GST_END_TEST

namespace {

/// Sends events numbered from 1000 in this order around one buffer, and looks for the numbers.
void expect_sequence_numbers_kept(const char* timestamp_mode) {
  constexpr guint32 kFirst = 1000;
  Pair pair(Properties{{"timestamp-mode", timestamp_mode}});
  auto push = [&, next = kFirst](GstEvent* event) mutable {
    gst_event_set_seqnum(event, next++);
    pair.sender.push(event);
  };
  push(gst_event_new_stream_start("the/stream"));
  push(caps_event("application/x-anything"));
  push(segment_event(0));
  push(tag_event("one", GST_TAG_SCOPE_STREAM));
  pair.sender.push(numbered(0));
  push(gst_event_new_gap(GST_SECOND, GST_SECOND));
  push(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM, "passing"));
  push(gst_event_new_eos());
  fail_unless(pair.receiver.wait_event(GST_EVENT_EOS));
  const auto items = pair.receiver.take();
  guint32 next = kFirst;
  for (const GstEventType type :
       {GST_EVENT_STREAM_START, GST_EVENT_CAPS, GST_EVENT_SEGMENT, GST_EVENT_TAG, GST_EVENT_GAP,
        GST_EVENT_CUSTOM_DOWNSTREAM, GST_EVENT_EOS}) {
    const guint32 seqnum = gst_event_get_seqnum(event_of(items, type));
    fail_unless(seqnum == next, "%s: %s has %u, not %u", timestamp_mode,
                gst_event_type_get_name(type), seqnum, next);
    ++next;
  }
}

}  // namespace

GST_START_TEST(events_keep_the_sequence_numbers_of_the_sender) {
  for (const char* mode : {"sender", "arrival", "reference"}) expect_sequence_numbers_kept(mode);
}
GST_END_TEST

GST_START_TEST(an_eos_made_here_has_a_sequence_number_of_its_own) {
  Pair pair(Properties{{"num-buffers", "1"}});
  pair.sender.begin("application/x-anything");
  pair.sender.push(numbered(0));
  fail_unless(pair.receiver.wait_event(GST_EVENT_EOS));
  const auto items = pair.receiver.take();
  const guint32 seqnum = gst_event_get_seqnum(event_of(items, GST_EVENT_EOS));
  for (const Item& item : items) {
    fail_unless(!item.event || item.is(GST_EVENT_EOS) ||
                gst_event_get_seqnum(item.event.get()) != seqnum);
  }
}
GST_END_TEST

GST_START_TEST(the_eos_of_an_application_keeps_its_sequence_number) {
  Receiver receiver;
  receiver.start();
  GstEvent* eos = gst_event_new_eos();
  const guint32 seqnum = gst_event_get_seqnum(eos);
  fail_unless(gst_element_send_event(receiver.pipeline(), eos));
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  const auto items = receiver.take();
  fail_unless_equals_int(gst_event_get_seqnum(event_of(items, GST_EVENT_EOS)), seqnum);
}
GST_END_TEST

GST_START_TEST(events_before_the_first_connection_wait_for_it) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  sender.push(tag_event("one", GST_TAG_SCOPE_STREAM));
  sender.push(gst_event_new_gap(0, GST_SECOND));
  sender.push(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, "staying"));
  sender.push(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, "staying"));
  Receiver receiver({{"port", std::to_string(port)}});
  receiver.start();
  sender.push(numbered(0));
  fail_unless(receiver.wait_buffers(1));
  expect_order(receiver.take(), "stream-start caps segment tag gap custom-downstream-sticky 0");
}
GST_END_TEST

GST_START_TEST(a_later_receiver_gets_the_sticky_events_again) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  sender.push(caps_event("application/x-anything,newer=true"));
  sender.push(tag_event("one", GST_TAG_SCOPE_STREAM));
  sender.push(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM, "passing"));
  for (guint64 i = 0; i < 2; ++i) {
    Receiver receiver({{"port", std::to_string(port)}});
    receiver.start();
    sender.push(numbered(i));
    fail_unless(receiver.wait_buffers(1));
    const auto items = receiver.take();
    // What passes does so once; caps that were replaced are not shown again.
    expect_order(items, i == 0 ? "stream-start caps segment tag custom-downstream 0"
                               : "stream-start caps segment tag 1");
    GstCaps* caps = nullptr;
    gst_event_parse_caps(event_of(items, GST_EVENT_CAPS), &caps);
    fail_unless(
        gst_caps_is_strictly_equal(caps, caps_of("application/x-anything,newer=true").get()));
    receiver.set_state(GST_STATE_NULL);
    fail_unless(sender.wait_peer("disconnected"));
  }
}
GST_END_TEST

GST_START_TEST(streams_of_one_group_stay_together) {
  Pair one;
  Pair other;
  Pair alone;
  const guint group = gst_util_group_id_next();
  guint got[3] = {};
  std::size_t i = 0;
  for (Pair* pair : {&one, &other, &alone}) {
    GstEvent* start = gst_event_new_stream_start("test/stream");
    gst_event_set_group_id(start, pair == &alone ? gst_util_group_id_next() : group);
    pair->sender.push(start);
    fail_unless(pair->receiver.wait_event(GST_EVENT_STREAM_START));
    const auto items = pair->receiver.take();
    fail_unless(gst_event_parse_group_id(event_of(items, GST_EVENT_STREAM_START), &got[i++]));
  }
  fail_unless(got[0] == got[1] && got[0] != got[2] && got[2] != GST_GROUP_ID_INVALID);
}
GST_END_TEST

GST_START_TEST(many_events_between_two_buffers_arrive_in_order) {
  // More than may be on their way at a time.
  constexpr int kCount = 700;
  Pair pair;
  pair.sender.begin("application/x-anything");
  for (int i = 0; i < kCount; ++i) {
    pair.sender.push(gst_event_new_gap(static_cast<GstClockTime>(i), 1));
    if (i % 100 == 0) pair.sender.push(numbered(static_cast<guint64>(i)));
  }
  pair.sender.push(gst_event_new_eos());
  fail_unless(pair.receiver.wait_event(GST_EVENT_EOS));
  GstClockTime next = 0;
  for (const Item& item : pair.receiver.take()) {
    if (item.buffer) fail_unless_equals_uint64(GST_BUFFER_OFFSET(item.buffer.get()), next - 1);
    if (!item.is(GST_EVENT_GAP)) continue;
    GstClockTime timestamp = 0;
    gst_event_parse_gap(item.event.get(), &timestamp, nullptr);
    fail_unless_equals_uint64(timestamp, next++);
  }
  fail_unless_equals_uint64(next, kCount);
}
GST_END_TEST

namespace {

Suite* events_suite() {
  Suite* suite = suite_create("events");
  TCase* cases = tcase_create("events");
  tcase_add_test(cases, every_event_arrives_between_the_right_buffers);
  tcase_add_test(cases, events_keep_the_sequence_numbers_of_the_sender);
  tcase_add_test(cases, an_eos_made_here_has_a_sequence_number_of_its_own);
  tcase_add_test(cases, the_eos_of_an_application_keeps_its_sequence_number);
  tcase_add_test(cases, events_before_the_first_connection_wait_for_it);
  tcase_add_test(cases, a_later_receiver_gets_the_sticky_events_again);
  tcase_add_test(cases, streams_of_one_group_stay_together);
  tcase_add_test(cases, many_events_between_two_buffers_arrive_in_order);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(events)
