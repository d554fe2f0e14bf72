// SPDX-License-Identifier: Apache-2.0
#include <gst/video/video.h>

#include "fabric_codec_samples.hpp"
#include "gstfabricvalue.hpp"
#include "pair.hpp"

using namespace fabric::test;
using fabric::EventPtr;

namespace {

struct Pair {
  Receiver receiver;
  Sender sender;
  Pair() : sender((receiver.start(), receiver.port())) {
    sender.set_state(GST_STATE_PLAYING);
    sender.begin("application/x-anything");
    sender.push(buffer_of("bytes"));
    fail_unless(receiver.wait_buffers(1));
  }
};

}  // namespace

GST_START_TEST(a_request_for_a_key_unit_reaches_the_encoder) {
  Pair pair;
  fail_unless(pair.receiver.send_upstream(
      gst_video_event_new_upstream_force_key_unit(5 * GST_SECOND, TRUE, 17)));
  const EventPtr event = pair.sender.wait_upstream(GST_EVENT_CUSTOM_UPSTREAM);
  fail_unless(event != nullptr);
  GstClockTime running_time = 0;
  gboolean all_headers = FALSE;
  guint count = 0;
  fail_unless(gst_video_event_parse_upstream_force_key_unit(event.get(), &running_time,
                                                            &all_headers, &count));
  fail_unless_equals_uint64(running_time, 5 * GST_SECOND);
  fail_unless(all_headers && count == 17);
}
GST_END_TEST

GST_START_TEST(reconfigure_reaches_what_is_upstream) {
  Pair pair;
  fail_unless(pair.receiver.send_upstream(gst_event_new_reconfigure()));
  fail_unless(pair.sender.wait_upstream(GST_EVENT_RECONFIGURE) != nullptr);
}
GST_END_TEST

GST_START_TEST(a_custom_upstream_event_arrives_with_all_its_fields) {
  Pair pair;
  GstEvent* sent =
      gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM, sample_structure("wish").release());
  const guint32 seqnum = gst_event_get_seqnum(sent);
  fail_unless(pair.receiver.send_upstream(sent));
  const EventPtr event = pair.sender.wait_upstream(GST_EVENT_CUSTOM_UPSTREAM);
  fail_unless(event != nullptr);
  fail_unless_equals_int(gst_event_get_seqnum(event.get()), seqnum);
  fail_unless(
      g_variant_equal(fabric::structure_to_variant(gst_event_get_structure(event.get())).get(),
                      fabric::structure_to_variant(sample_structure("wish").get()).get()));
}
GST_END_TEST

GST_START_TEST(what_concerns_one_pipeline_stays_there) {
  Pair pair;
  pair.receiver.send_upstream(gst_event_new_latency(GST_SECOND));
  pair.receiver.send_upstream(gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 0.5, 1, 2));
  fail_if(pair.receiver.send_upstream(gst_event_new_seek(
      1.0, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, 0)));
  fail_unless(pair.receiver.send_upstream(gst_event_new_reconfigure()));
  fail_unless(pair.sender.wait_upstream(GST_EVENT_RECONFIGURE) != nullptr);
  // These would have come before it. LATENCY of the sender's own pipeline comes, too.
  fail_unless(pair.sender.has_upstream(GST_EVENT_SEEK) == false);
  fail_unless(pair.sender.has_upstream(GST_EVENT_QOS) == false);
}
GST_END_TEST

GST_START_TEST(without_a_sender_an_upstream_event_goes_nowhere_and_harms_nothing) {
  Receiver receiver;
  receiver.start();
  receiver.send_upstream(gst_event_new_reconfigure());
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  sender.push(buffer_of("bytes"));
  fail_unless(receiver.wait_buffers(1));
  fail_if(sender.has_upstream(GST_EVENT_RECONFIGURE));
}
GST_END_TEST

namespace {

Suite* upstream_suite() {
  Suite* suite = suite_create("upstream events");
  TCase* cases = tcase_create("upstream events");
  tcase_add_test(cases, a_request_for_a_key_unit_reaches_the_encoder);
  tcase_add_test(cases, reconfigure_reaches_what_is_upstream);
  tcase_add_test(cases, a_custom_upstream_event_arrives_with_all_its_fields);
  tcase_add_test(cases, what_concerns_one_pipeline_stays_there);
  tcase_add_test(cases, without_a_sender_an_upstream_event_goes_nowhere_and_harms_nothing);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(upstream)
