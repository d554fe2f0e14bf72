// SPDX-License-Identifier: Apache-2.0
#include "pair.hpp"
#include "streams.hpp"

using namespace fabric::test;
using fabric::BufferPtr;
using fabric::MemoryPtr;

namespace {

/// Sender and receiver of application/x-anything, connected by what is pushed.
struct Pair {
  Receiver receiver;
  Sender sender;
  explicit Pair(const Properties& receiving = {})
      : receiver(receiving), sender((receiver.start(), receiver.port())) {
    sender.set_state(GST_STATE_PLAYING);
    sender.begin("application/x-anything");
  }
  /// The buffer as it arrives.
  Item pass(BufferPtr buffer) {
    const std::size_t before = receiver.buffers();
    fail_unless_equals_int(sender.push(std::move(buffer)), GST_FLOW_OK);
    fail_unless(receiver.wait_buffers(before + 1));
    return std::move(receiver.take_buffers().at(0));
  }
};

/// Registers the meta at first use.
GstStructure* add_note(GstBuffer* buffer) {
  if (gst_meta_get_info("fabric-test-note") == nullptr) {
    const gchar* tags[] = {nullptr};
    gst_meta_register_custom("fabric-test-note", tags, nullptr, nullptr, nullptr);
  }
  return gst_custom_meta_get_structure(gst_buffer_add_custom_meta(buffer, "fabric-test-note"));
}

const gchar* note_of(GstBuffer* buffer) {
  GstCustomMeta* meta = gst_buffer_get_custom_meta(buffer, "fabric-test-note");
  return meta == nullptr ? nullptr
                         : gst_structure_get_string(gst_custom_meta_get_structure(meta), "text");
}

}  // namespace

GST_START_TEST(buffers_of_any_size_follow_each_other) {
  Pair pair;
  unsigned number = 0;
  for (const std::size_t size :
       {100, 5000, 70'000, 1'000'000, 6'000'000, 200, 3'000'000, 6'100'000, 9'000'000, 1}) {
    const Item got = pair.pass(buffer_of(noise(size, number)));
    fail_unless(bytes_of(got.buffer.get()) == noise(size, number), "%zu bytes", size);
    ++number;
  }
  // local's ring has only headers, and never grows; system memory has to be made its own.
  fail_unless_equals_int(pair.sender.stat("epoch") > 1, !is_local());
  fail_unless_equals_uint64(pair.sender.stat("epoch"), pair.receiver.stat("epoch"));
  fail_unless_equals_uint64(pair.sender.stat("reconnects"), 0);
  fail_unless_equals_int(pair.sender.stat("bytes-copied") == 0, !is_local());
}
GST_END_TEST

GST_START_TEST(a_ring_grows_under_a_stream_that_does_not_wait_for_it) {
  if (is_local()) return;  // its ring never grows
  // Old slots are still held downstream when the new ring comes.
  Receiver receiver({{"slots", "3"}}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  std::vector<Item> held;
  for (unsigned i = 0; i < 8; ++i) {
    // Two of a size: a slot of each ring stays free.
    fail_unless_equals_int(sender.push(buffer_of(noise(60'000U << (i / 2), i))), GST_FLOW_OK);
  }
  fail_unless(receiver.wait_buffers(8));
  held = receiver.take_buffers();
  for (unsigned i = 0; i < 8; ++i) {
    fail_unless(bytes_of(held[i].buffer.get()) == noise(60'000U << (i / 2), i), "buffer %u", i);
  }
}
GST_END_TEST

GST_START_TEST(an_empty_buffer_arrives_with_its_times_and_metas) {
  Pair pair;
  BufferPtr empty(gst_buffer_new());
  GST_BUFFER_PTS(empty.get()) = 5 * GST_SECOND;
  GST_BUFFER_DURATION(empty.get()) = GST_SECOND;
  gst_structure_set(add_note(empty.get()), "text", G_TYPE_STRING, "nothing", nullptr);
  const Item got = pair.pass(std::move(empty));
  fail_unless_equals_uint64(gst_buffer_get_size(got.buffer.get()), 0);
  fail_unless_equals_uint64(GST_BUFFER_PTS(got.buffer.get()), 5 * GST_SECOND);
  fail_unless_equals_uint64(GST_BUFFER_DURATION(got.buffer.get()), GST_SECOND);
  fail_unless_equals_string(note_of(got.buffer.get()), "nothing");
  // Slots of empty buffers come back, too.
  for (int i = 0; i < 40; ++i) pair.pass(BufferPtr(gst_buffer_new()));
  fail_unless_equals_uint64(pair.receiver.stat("grains"), 41);
}
GST_END_TEST

GST_START_TEST(a_gap_buffer_keeps_its_flag_and_bytes) {
  Pair pair;
  BufferPtr gap = buffer_of(std::string(3000, '\0'));
  GST_BUFFER_FLAG_SET(gap.get(), GST_BUFFER_FLAG_GAP | GST_BUFFER_FLAG_DROPPABLE);
  const Item got = pair.pass(std::move(gap));
  fail_unless((got.flags & GST_BUFFER_FLAG_GAP) != 0);
  fail_unless((got.flags & GST_BUFFER_FLAG_DROPPABLE) != 0);
  fail_unless(bytes_of(got.buffer.get()) == std::string(3000, '\0'));
}
GST_END_TEST

GST_START_TEST(several_memories_arrive_as_one) {
  constexpr int kCounts[] = {2, 3, 4, 9, 16};
  const int count = kCounts[__i__];
  Pair pair;
  BufferPtr buffer(gst_buffer_new());
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    const std::string part =
        noise(501 + static_cast<std::size_t>(i) * 333, static_cast<unsigned>(i));
    bytes += part;
    const BufferPtr lent = buffer_of(part);
    gst_buffer_append_memory(buffer.get(), gst_buffer_get_memory(lent.get(), 0));
  }
  fail_unless_equals_int(gst_buffer_n_memory(buffer.get()), count);
  const Item got = pair.pass(std::move(buffer));
  fail_unless(bytes_of(got.buffer.get()) == bytes);
}
GST_END_TEST

GST_START_TEST(only_the_used_part_of_a_memory_is_sent) {
  Pair pair;
  const std::string whole = noise(9000, 1);
  BufferPtr buffer = buffer_of(whole);
  gst_buffer_resize(buffer.get(), 1234, 4321);
  const BufferPtr tail = buffer_of(whole);
  gst_buffer_append_memory(buffer.get(),
                           gst_memory_share(gst_buffer_peek_memory(tail.get(), 0), 8000, 99));
  const Item got = pair.pass(std::move(buffer));
  fail_unless(bytes_of(got.buffer.get()) == whole.substr(1234, 4321) + whole.substr(8000, 99));
}
GST_END_TEST

GST_START_TEST(one_buffer_may_be_sent_many_times) {
  Pair pair;
  const BufferPtr picture = buffer_of(noise(40'000, 4));
  for (unsigned i = 0; i < 20; ++i) {
    BufferPtr again(gst_buffer_copy(picture.get()));  // the same memory
    GST_BUFFER_OFFSET(again.get()) = i;
    fail_unless_equals_int(pair.sender.push(std::move(again)), GST_FLOW_OK);
  }
  fail_unless(pair.receiver.wait_buffers(20));
  const auto items = pair.receiver.take_buffers();
  for (unsigned i = 0; i < 20; ++i) {
    fail_unless_equals_uint64(GST_BUFFER_OFFSET(items[i].buffer.get()), i);
    fail_unless(bytes_of(items[i].buffer.get()) == noise(40'000, 4));
  }
}
GST_END_TEST

GST_START_TEST(metas_larger_than_a_header_arrive) {
  Pair pair;
  // Below, around and far above the 4096 bytes before a payload; then with nothing to follow.
  for (const std::size_t size : {3'000, 3'850, 4'000, 5'000, 100'000, 900'000}) {
    for (const std::size_t payload : {10'000, 0}) {
      BufferPtr buffer = payload > 0 ? buffer_of(noise(payload, 1)) : BufferPtr(gst_buffer_new());
      const std::string text(size, 'm');
      gst_structure_set(add_note(buffer.get()), "text", G_TYPE_STRING, text.c_str(), nullptr);
      const Item got = pair.pass(std::move(buffer));
      fail_unless_equals_uint64(gst_buffer_get_size(got.buffer.get()), payload);
      fail_unless(bytes_of(got.buffer.get()) == noise(payload, 1));
      fail_unless_equals_string(note_of(got.buffer.get()), text.c_str());
    }
  }
}
GST_END_TEST

GST_START_TEST(metas_beyond_the_limit_are_an_error) {
  Pair pair;
  BufferPtr buffer = buffer_of("x");
  const std::string text(2'000'000, 'm');
  gst_structure_set(add_note(buffer.get()), "text", G_TYPE_STRING, text.c_str(), nullptr);
  fail_unless_equals_int(pair.sender.push(std::move(buffer)), GST_FLOW_ERROR);
  const fabric::MessagePtr error = pair.sender.wait_message(GST_MESSAGE_ERROR);
  fail_unless(error != nullptr);
}
GST_END_TEST

namespace {

Suite* buffers_suite() {
  Suite* suite = suite_create("buffers");
  TCase* cases = tcase_create("buffers");
  tcase_add_test(cases, buffers_of_any_size_follow_each_other);
  tcase_add_test(cases, a_ring_grows_under_a_stream_that_does_not_wait_for_it);
  tcase_add_test(cases, an_empty_buffer_arrives_with_its_times_and_metas);
  tcase_add_test(cases, a_gap_buffer_keeps_its_flag_and_bytes);
  tcase_add_loop_test(cases, several_memories_arrive_as_one, 0, 5);
  tcase_add_test(cases, only_the_used_part_of_a_memory_is_sent);
  tcase_add_test(cases, one_buffer_may_be_sent_many_times);
  tcase_add_test(cases, metas_larger_than_a_header_arrive);
  tcase_add_test(cases, metas_beyond_the_limit_are_an_error);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(buffers)
