// SPDX-License-Identifier: Apache-2.0
#include "child.hpp"
#include "streams.hpp"

using namespace fabric::test;
using fabric::CapsPtr;

namespace {

void send_all(Sender& sender, const Stream& stream) {
  sender.begin(stream.caps.front());
  for (unsigned i = 0; i < stream.length(); ++i) {
    if (i > 0 && i % kBuffersPerCaps == 0) sender.push(gst_event_new_caps(stream.caps_at(i).get()));
    fail_unless_equals_int(sender.push(stream.buffer(i)), GST_FLOW_OK);
  }
  fail_unless(sender.push(gst_event_new_eos()));
}

/// All of the stream, bit for bit, each buffer under its caps.
void expect_all(const std::vector<Item>& items, const Stream& stream) {
  unsigned next = 0;
  CapsPtr caps;
  for (const Item& item : items) {
    if (item.is(GST_EVENT_CAPS)) {
      GstCaps* now = nullptr;
      gst_event_parse_caps(item.event.get(), &now);
      caps.reset(gst_caps_ref(now));
    }
    if (!item.buffer) continue;
    fail_unless(next < stream.length());
    fail_unless(caps && gst_caps_is_strictly_equal(caps.get(), stream.caps_at(next).get()));
    const std::string found = difference(stream.buffer(next).get(), item.buffer.get(), item.flags);
    fail_unless(found.empty(), "%s: %s", stream.name, found.c_str());
    ++next;
  }
  fail_unless_equals_int(next, stream.length());
}

}  // namespace

GST_START_TEST(a_stream_arrives_bit_exact_in_one_process) {
  const Stream& stream = streams().at(static_cast<std::size_t>(__i__));
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  send_all(sender, stream);
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  expect_all(receiver.take(), stream);
  fail_unless_equals_uint64(receiver.stat("grains"), stream.length());
  fail_unless_equals_uint64(receiver.stat("bytes-copied"), 0);
}
GST_END_TEST

GST_START_TEST(a_stream_in_slices_arrives_bit_exact) {
  const Stream& stream = streams().at(static_cast<std::size_t>(__i__));
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port(), {{"slices", "8"}});
  sender.set_state(GST_STATE_PLAYING);
  send_all(sender, stream);
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  expect_all(receiver.take(), stream);
}
GST_END_TEST

GST_START_TEST(a_stream_from_another_process_arrives_bit_exact) {
  const Stream& stream = streams().at(static_cast<std::size_t>(__i__));
  Receiver receiver;
  receiver.start();
  Child sender(
      {"send", std::to_string(receiver.port()), stream.name, std::to_string(stream.length()), "0"});
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  fail_unless(sender.wait_line("sent").empty());
  fail_unless(sender.leave());
  expect_all(receiver.take(), stream);
}
GST_END_TEST

namespace {

Suite* round_trip_suite() {
  Suite* suite = suite_create("round trips");
  TCase* cases = tcase_create("streams");
  const int count = static_cast<int>(streams().size());
  tcase_add_loop_test(cases, a_stream_arrives_bit_exact_in_one_process, 0, count);
  tcase_add_loop_test(cases, a_stream_in_slices_arrives_bit_exact, 0, count);
  tcase_add_loop_test(cases, a_stream_from_another_process_arrives_bit_exact, 0, count);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(round_trip)
