// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>

#include <cstdlib>
#include <thread>

#include "base/clock.hpp"
#include "pair.hpp"

using namespace fabric::test;
using fabric::BufferPtr;
using fabric::CapsPtr;
using fabric::ClockPtr;

namespace {

constexpr GstClockTime kHour = 3600 * GST_SECOND;
/// How far times may be apart that two threads read one after the other.
constexpr gint64 kMoment = 200 * GST_MSECOND * grainfabric::test::kSlowdown;

const GstReferenceTimestampMeta* tai_of(GstBuffer* buffer) {
  const CapsPtr caps = caps_of("timestamp/x-tai");
  return gst_buffer_get_reference_timestamp_meta(buffer, caps.get());
}

bool near(guint64 a, guint64 b) {
  return std::llabs(static_cast<gint64>(a) - static_cast<gint64>(b)) < kMoment;
}

BufferPtr timed(GstClockTime pts, GstClockTime dts) {
  BufferPtr buffer = buffer_of("bytes");
  GST_BUFFER_PTS(buffer.get()) = pts;
  GST_BUFFER_DTS(buffer.get()) = dts;
  GST_BUFFER_DURATION(buffer.get()) = 40 * GST_MSECOND;
  return buffer;
}

guint64 running_time(const Side& side) {
  return gst_element_get_current_running_time(side.element());
}

GstClockTime latency_of(const Side& side) {
  const fabric::QueryPtr query(gst_query_new_latency());
  fail_unless(gst_element_query(side.element(), query.get()));
  gboolean live = FALSE;
  GstClockTime least = 0;
  gst_query_parse_latency(query.get(), &live, &least, nullptr);
  fail_unless(live);
  return least;
}

const GstSegment* segment_in(const std::vector<Item>& items) {
  const GstSegment* segment = nullptr;
  for (const Item& item : items) {
    if (item.is(GST_EVENT_SEGMENT)) gst_event_parse_segment(item.event.get(), &segment);
  }
  return segment;
}

struct Pair {
  Receiver receiver;
  Sender sender;
  explicit Pair(const char* mode)
      : receiver(Properties{{"timestamp-mode", mode}}),
        sender((receiver.start(), receiver.port())) {
    sender.set_state(GST_STATE_PLAYING);
  }
};

}  // namespace

GST_START_TEST(sender_mode_keeps_segment_and_times) {
  Pair pair("sender");
  fail_unless(pair.sender.push(gst_event_new_stream_start("test/stream")));
  fail_unless(pair.sender.push(gst_event_new_caps(caps_of("application/x-anything").get())));
  GstSegment sent;
  gst_segment_init(&sent, GST_FORMAT_TIME);
  sent.rate = 2.0;
  sent.applied_rate = 0.5;
  sent.base = 3 * GST_SECOND;
  sent.offset = 4;
  sent.start = kHour;
  sent.stop = 2 * kHour;
  sent.time = 77;
  sent.position = kHour + 1;
  sent.duration = 5 * kHour;
  pair.sender.push(gst_event_new_segment(&sent));
  pair.sender.push(timed(kHour + 123, kHour + 100));
  pair.sender.push(timed(GST_CLOCK_TIME_NONE, kHour + 200));
  fail_unless(pair.receiver.wait_buffers(2));
  const auto items = pair.receiver.take();
  const GstSegment* got = segment_in(items);
  fail_unless(got != nullptr && gst_segment_is_equal(&sent, got));
  fail_unless_equals_uint64(got->position, sent.position);
  fail_unless_equals_uint64(got->duration, sent.duration);
  GstBuffer* later = items.back().buffer.get();
  GstBuffer* earlier = items[items.size() - 2].buffer.get();
  fail_unless_equals_uint64(GST_BUFFER_PTS(earlier), kHour + 123);
  fail_unless_equals_uint64(GST_BUFFER_DTS(earlier), kHour + 100);
  fail_unless_equals_uint64(GST_BUFFER_DURATION(earlier), 40 * GST_MSECOND);
  fail_unless(!GST_BUFFER_PTS_IS_VALID(later));
  fail_unless_equals_uint64(GST_BUFFER_DTS(later), kHour + 200);
}
GST_END_TEST

GST_START_TEST(arrival_mode_stamps_the_running_time_of_the_receiver) {
  Pair pair("arrival");
  pair.sender.begin("application/x-anything");
  // PTS ahead of DTS as in an encoded stream, both far from any running time; PTS alone; neither.
  pair.sender.push(timed(kHour + 80 * GST_MSECOND, kHour));
  fail_unless(pair.receiver.wait_buffers(1));
  const guint64 earlier = running_time(pair.receiver);
  pair.sender.push(timed(kHour, GST_CLOCK_TIME_NONE));
  pair.sender.push(timed(GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE));
  fail_unless(pair.receiver.wait_buffers(3));
  const guint64 last = running_time(pair.receiver);
  const auto items = pair.receiver.take();
  const GstSegment* segment = segment_in(items);
  fail_unless(segment != nullptr && segment->format == GST_FORMAT_TIME);
  fail_unless_equals_uint64(segment->start, 0);
  fail_unless_equals_uint64(segment->base, 0);
  const std::size_t at = items.size() - 3;
  GstBuffer* both = items[at].buffer.get();
  fail_unless(near(GST_BUFFER_DTS(both), earlier));
  fail_unless_equals_uint64(GST_BUFFER_PTS(both) - GST_BUFFER_DTS(both), 80 * GST_MSECOND);
  fail_unless(near(GST_BUFFER_PTS(items[at + 1].buffer.get()), last));
  fail_unless(!GST_BUFFER_DTS_IS_VALID(items[at + 1].buffer.get()));
  fail_unless(near(GST_BUFFER_PTS(items[at + 2].buffer.get()), last));
  fail_unless_equals_uint64(GST_BUFFER_DURATION(both), 40 * GST_MSECOND);
}
GST_END_TEST

GST_START_TEST(reference_mode_shows_the_senders_moment_on_this_pipelines_clock) {
  Pair pair("reference");
  pair.sender.begin("application/x-anything");
  pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));  // until there is a clock to ask
  fail_unless(pair.receiver.wait_buffers(1));
  pair.receiver.take();
  // Both pipelines have the system's clock: a moment of one is a moment of the other.
  const guint64 due = running_time(pair.sender) + 100 * GST_MSECOND;
  const guint64 here = due + gst_element_get_base_time(pair.sender.element()) -
                       gst_element_get_base_time(pair.receiver.element());
  pair.sender.push(timed(due, due - 40 * GST_MSECOND));
  fail_unless(pair.receiver.wait_buffers(2));
  const auto items = pair.receiver.take_buffers();
  GstBuffer* got = items[0].buffer.get();
  fail_unless(near(GST_BUFFER_PTS(got), here), "PTS %" G_GUINT64_FORMAT ", due %" G_GUINT64_FORMAT,
              GST_BUFFER_PTS(got), here);
  fail_unless_equals_uint64(GST_BUFFER_PTS(got) - GST_BUFFER_DTS(got), 40 * GST_MSECOND);
}
GST_END_TEST

GST_START_TEST(a_late_buffer_raises_the_latency_in_reference_mode) {
  Pair pair("reference");
  pair.sender.begin("application/x-anything");
  pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));
  fail_unless(pair.receiver.wait_buffers(1));
  fail_unless(eventually([&] { return running_time(pair.receiver) > 50 * GST_MSECOND; }));
  // Not one alone: the first of a session may have waited for it.
  for (int i = 0; i < 4; ++i) pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));
  fail_unless(eventually([&] { return latency_of(pair.receiver) > 0; }));
  fail_unless(pair.receiver.wait_message(GST_MESSAGE_LATENCY) != nullptr);
}
GST_END_TEST

GST_START_TEST(what_waited_for_the_receiver_raises_no_latency) {
  constexpr int kPictures = 10;
  constexpr GstClockTime kPeriod = 100 * GST_MSECOND;
  Pair pair("reference");
  pair.sender.begin("application/x-anything");
  pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));
  fail_unless(pair.receiver.wait_buffers(1));
  // Nothing is later than the pipeline is old.
  eventually([&] { return running_time(pair.receiver) > kPictures * kPeriod; });
  pair.receiver.set_state(GST_STATE_PAUSED);
  // A live source makes pictures meanwhile: more than the ring holds.
  const guint64 begin = running_time(pair.sender);
  std::thread upstream([&] {
    for (int i = 0; i < kPictures; ++i) {
      pair.sender.push(timed(begin + static_cast<guint64>(i) * kPeriod, GST_CLOCK_TIME_NONE));
    }
  });
  eventually([&] { return running_time(pair.sender) > begin + kPictures * kPeriod; });
  pair.receiver.start();
  fail_unless(pair.receiver.wait_buffers(1 + kPictures));
  upstream.join();
  fail_unless(latency_of(pair.receiver) < kPictures / 2 * kPeriod, "%" GST_TIME_FORMAT,
              GST_TIME_ARGS(latency_of(pair.receiver)));
}
GST_END_TEST

GST_START_TEST(every_mode_gives_the_absolute_time) {
  constexpr const char* kModes[] = {"arrival", "sender", "reference"};
  Pair pair(kModes[__i__]);
  pair.sender.begin("application/x-anything");
  pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));
  fail_unless(pair.receiver.wait_buffers(1));
  pair.receiver.take();
  const guint64 running = running_time(pair.sender);
  const guint64 tai = grainfabric::tai_now();
  pair.sender.push(timed(running, GST_CLOCK_TIME_NONE));
  fail_unless(pair.receiver.wait_buffers(2));
  const auto items = pair.receiver.take_buffers();
  const GstReferenceTimestampMeta* meta = tai_of(items[0].buffer.get());
  fail_unless(meta != nullptr);
  fail_unless(near(meta->timestamp, tai), "%" G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT,
              meta->timestamp, tai);
}
GST_END_TEST

GST_START_TEST(an_absolute_time_that_is_there_already_is_kept) {
  Pair pair("arrival");
  pair.sender.begin("application/x-anything");
  BufferPtr buffer = timed(0, GST_CLOCK_TIME_NONE);
  gst_buffer_add_reference_timestamp_meta(buffer.get(), caps_of("timestamp/x-tai").get(), 42, 7);
  pair.sender.push(std::move(buffer));
  fail_unless(pair.receiver.wait_buffers(1));
  const auto items = pair.receiver.take_buffers();
  fail_unless_equals_uint64(tai_of(items[0].buffer.get())->timestamp, 42);
  fail_unless_equals_uint64(tai_of(items[0].buffer.get())->duration, 7);
  fail_unless_equals_int(
      gst_buffer_get_n_meta(items[0].buffer.get(), GST_REFERENCE_TIMESTAMP_META_API_TYPE), 1);
}
GST_END_TEST

GST_START_TEST(each_run_of_a_pipeline_measures_the_offset_of_its_clock_anew) {
  Pair pair("reference");
  pair.sender.begin("application/x-anything");
  pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));  // until there is a clock to ask
  gst_element_get_state(pair.sender.pipeline(), nullptr, nullptr, GST_CLOCK_TIME_NONE);
  pair.sender.push(timed(0, GST_CLOCK_TIME_NONE));
  fail_unless(pair.receiver.wait_buffers(2));
  const auto knows_offset = [](GstElement* element) {
    const fabric::ContextPtr context(gst_element_get_context(element, "grainfabric.tai-offset"));
    return context != nullptr;
  };
  Side* const sides[] = {&pair.sender, &pair.receiver};
  for (Side* side : sides) {
    fail_unless(knows_offset(side->pipeline()) && knows_offset(side->element()));
    side->set_state(GST_STATE_NULL);
    fail_if(knows_offset(side->pipeline()) || knows_offset(side->element()));
  }
}
GST_END_TEST

GST_START_TEST(a_gap_moves_with_its_stream) {
  Pair pair("arrival");
  pair.sender.begin("application/x-anything");
  pair.sender.push(gst_event_new_gap(kHour, 40 * GST_MSECOND));
  fail_unless(pair.receiver.wait_event(GST_EVENT_GAP));
  const guint64 now = running_time(pair.receiver);
  const auto items = pair.receiver.take();
  GstClockTime timestamp = 0;
  GstClockTime duration = 0;
  gst_event_parse_gap(items.back().event.get(), &timestamp, &duration);
  fail_unless(near(timestamp, now));
  fail_unless_equals_uint64(duration, 40 * GST_MSECOND);
}
GST_END_TEST

GST_START_TEST(a_thread_that_waits_for_the_clock_wakes_in_time) {
  Pair pair("sender");
  std::thread([&] {
    constexpr int kGenerous = 50'000;  // ns, as the kernel has it
    fail_unless_equals_int(::prctl(PR_SET_TIMERSLACK, kGenerous), 0);
    pair.sender.begin("application/x-anything");
    fail_unless_equals_int(pair.sender.push(timed(0, 0)), GST_FLOW_OK);
    fail_unless_equals_int(::prctl(PR_GET_TIMERSLACK), kGenerous);
    g_object_set(pair.sender.element(), "sync", TRUE, nullptr);
    fail_unless_equals_int(pair.sender.push(timed(0, 0)), GST_FLOW_OK);
    fail_unless_equals_int(::prctl(PR_GET_TIMERSLACK), 1);
  }).join();
  fail_unless(pair.receiver.wait_buffers(2));
}
GST_END_TEST

namespace {

Suite* timestamp_suite() {
  Suite* suite = suite_create("timestamps");
  TCase* cases = tcase_create("timestamps");
  tcase_add_test(cases, sender_mode_keeps_segment_and_times);
  tcase_add_test(cases, arrival_mode_stamps_the_running_time_of_the_receiver);
  tcase_add_test(cases, reference_mode_shows_the_senders_moment_on_this_pipelines_clock);
  tcase_add_test(cases, a_late_buffer_raises_the_latency_in_reference_mode);
  tcase_add_test(cases, what_waited_for_the_receiver_raises_no_latency);
  tcase_add_loop_test(cases, every_mode_gives_the_absolute_time, 0, 3);
  tcase_add_test(cases, an_absolute_time_that_is_there_already_is_kept);
  tcase_add_test(cases, each_run_of_a_pipeline_measures_the_offset_of_its_clock_anew);
  tcase_add_test(cases, a_gap_moves_with_its_stream);
  tcase_add_test(cases, a_thread_that_waits_for_the_clock_wakes_in_time);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(timestamp)
