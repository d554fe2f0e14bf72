// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

#include "pair.hpp"
#include "streams.hpp"

using namespace fabric::test;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t kSize = 20'000;

/// A thread that pushes numbered buffers until told to stop, or `count` of them.
class Feed {
 public:
  Feed(Sender& sender, unsigned count)
      : thread_([this, &sender, count] {
          for (unsigned i = 0; i < count && !stop_; ++i) {
            fabric::BufferPtr buffer = buffer_of(noise(kSize, i));
            GST_BUFFER_OFFSET(buffer.get()) = i;
            result_ = sender.push(std::move(buffer));
            if (result_ != GST_FLOW_OK) break;
            ++pushed_;
          }
        }) {}
  ~Feed() { join(); }
  /// Waits until all is pushed or the sender refuses more.
  void finish() { thread_.join(); }
  void join() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] unsigned pushed() const { return pushed_; }
  [[nodiscard]] GstFlowReturn result() const { return result_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<unsigned> pushed_ = 0;
  std::atomic<GstFlowReturn> result_ = GST_FLOW_OK;
  std::thread thread_;
};

bool is_picture(GstBuffer* buffer) {
  return bytes_of(buffer) == noise(kSize, static_cast<unsigned>(GST_BUFFER_OFFSET(buffer)));
}

}  // namespace

GST_START_TEST(a_consumer_that_holds_buffers_stops_the_sender_and_nothing_is_lost) {
  constexpr unsigned kCount = 60;
  Receiver receiver({{"slots", "4"}}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  Feed feed(sender, kCount);
  unsigned next = 0;
  while (next < kCount) {
    fail_unless(receiver.wait_buffers(std::min(next + 4, kCount)));
    // All four slots are held: the fifth waits in the sender, however long this takes.
    fail_unless(eventually([&] { return sender.stat("credits") == 0 || next + 4 > kCount; }));
    fail_unless(feed.pushed() <= next + 5);
    const auto held = receiver.take_buffers();
    fail_unless_equals_int(held.size(), std::min(4U, kCount - next));
    for (const Item& item : held) {
      fail_unless_equals_uint64(GST_BUFFER_OFFSET(item.buffer.get()), next);
      fail_unless(is_picture(item.buffer.get()));
      ++next;
    }
  }
  fail_unless(eventually([&] { return feed.pushed() == kCount; }));
  fail_unless_equals_uint64(sender.stat("grains"), kCount);
  fail_unless_equals_uint64(sender.stat("grains-dropped"), 0);
  fail_unless_equals_uint64(sender.stat("grains-lost"), 0);
  fail_unless_equals_uint64(receiver.stat("grains"), kCount);
}
GST_END_TEST

GST_START_TEST(a_leaky_sender_never_waits_and_counts_what_it_drops) {
  Receiver receiver({{"slots", "3"}}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port(), {{"leaky", "upstream"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  guint64 rendered = 0;
  fail_unless(eventually([&] {
    fabric::BufferPtr buffer = buffer_of(noise(kSize, 0));
    GST_BUFFER_OFFSET(buffer.get()) = 0;
    ++rendered;
    return sender.push(std::move(buffer)) == GST_FLOW_OK && receiver.buffers() == 3;
  }));
  // Every slot is held: nothing can go out, and nothing waits for that.
  for (unsigned i = 1; i <= 200; ++i, ++rendered) {
    fail_unless_equals_int(sender.push(buffer_of(noise(kSize, i))), GST_FLOW_OK);
  }
  fail_unless_equals_int(receiver.buffers(), 3);
  fail_unless_equals_uint64(sender.stat("grains"), 3);
  fail_unless_equals_uint64(sender.stat("grains") + sender.stat("grains-dropped"), rendered);
  // What comes next says that something is missing before it.
  receiver.take();
  fail_unless(eventually([&] { return sender.stat("credits") == 3; }));
  fabric::BufferPtr after = buffer_of(noise(kSize, 7));
  GST_BUFFER_OFFSET(after.get()) = 7;
  sender.push(std::move(after));
  fail_unless(receiver.wait_buffers(4));
  const auto items = receiver.take_buffers();
  fail_unless(is_picture(items[0].buffer.get()));
  fail_unless((items[0].flags & GST_BUFFER_FLAG_DISCONT) != 0);
}
GST_END_TEST

GST_START_TEST(a_picture_that_is_held_never_changes) {
  Receiver receiver({{"slots", "4"}}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port(), {{"leaky", "upstream"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  Feed feed(sender, G_MAXUINT);
  fail_unless(receiver.wait_buffers(2));
  auto held = receiver.take_buffers();
  held.resize(2);
  const std::vector<std::string> before{bytes_of(held[0].buffer.get()),
                                        bytes_of(held[1].buffer.get())};
  const std::size_t seen = receiver.buffers();
  fail_unless(eventually([&] {
    for (const Item& item : receiver.take_buffers()) fail_unless(is_picture(item.buffer.get()));
    return receiver.buffers() > seen + 300;
  }));
  for (std::size_t i = 0; i < held.size(); ++i) {
    fail_unless(bytes_of(held[i].buffer.get()) == before[i]);
    fail_unless(is_picture(held[i].buffer.get()));
  }
  feed.join();
}
GST_END_TEST

GST_START_TEST(a_held_picture_outlives_both_sides) {
  Item held;
  {
    Receiver receiver({}, Receiver::Keep::originals);
    receiver.start();
    Sender sender(receiver.port());
    sender.set_state(GST_STATE_PLAYING);
    sender.begin("application/x-anything");
    fabric::BufferPtr buffer = buffer_of(noise(kSize, 3));
    GST_BUFFER_OFFSET(buffer.get()) = 3;
    sender.push(std::move(buffer));
    fail_unless(receiver.wait_buffers(1));
    held = std::move(receiver.take_buffers()[0]);
  }
  fail_unless(is_picture(held.buffer.get()));
}
GST_END_TEST

GST_START_TEST(without_a_peer_a_sender_told_not_to_wait_drops_and_counts) {
  Sender sender(free_port(), {{"wait-for-connection", "false"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  for (unsigned i = 0; i < 50; ++i) {
    fail_unless_equals_int(sender.push(buffer_of(noise(100, i))), GST_FLOW_OK);
  }
  fail_unless_equals_uint64(sender.stat("grains"), 0);
  fail_unless_equals_uint64(sender.stat("grains-dropped"), 50);
}
GST_END_TEST

GST_START_TEST(a_sender_that_waits_for_its_peer_leaves_at_once) {
  Sender sender(free_port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  Feed feed(sender, 10);
  fail_unless(eventually([&] {
    GstState state = GST_STATE_NULL;
    gst_element_get_state(sender.pipeline(), &state, nullptr, 0);
    return state == GST_STATE_PLAYING;
  }));
  fail_unless_equals_int(feed.pushed(), 0);
  const auto begin = steady_clock::now();
  sender.set_state(GST_STATE_NULL);
  feed.finish();
  fail_unless(steady_clock::now() - begin < std::chrono::seconds(1) * grainfabric::test::kSlowdown);
  fail_unless_equals_int(feed.result(), GST_FLOW_FLUSHING);
}
GST_END_TEST

GST_START_TEST(a_sender_that_waits_for_credit_leaves_at_once) {
  Receiver receiver({{"slots", "2"}}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  Feed feed(sender, 10);
  fail_unless(receiver.wait_buffers(2));
  const auto begin = steady_clock::now();
  sender.set_state(GST_STATE_NULL);
  feed.finish();
  // The farewell waits for nothing that is held downstream: it has arrived.
  fail_unless(steady_clock::now() - begin < std::chrono::seconds(1) * grainfabric::test::kSlowdown);
  fail_unless_equals_int(feed.result(), GST_FLOW_FLUSHING);
}
GST_END_TEST

GST_START_TEST(a_flush_ends_the_wait_for_a_peer) {
  Sender sender(free_port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  Feed feed(sender, 10);
  fail_unless(eventually([&] {
    GstState state = GST_STATE_NULL;
    gst_element_get_state(sender.pipeline(), &state, nullptr, 0);
    return state == GST_STATE_PLAYING;
  }));
  fail_unless(sender.push(gst_event_new_flush_start()));
  fail_unless(eventually([&] { return feed.result() == GST_FLOW_FLUSHING; }));
  feed.join();
  fail_unless(sender.push(gst_event_new_flush_stop(TRUE)));
}
GST_END_TEST

namespace {

Suite* back_pressure_suite() {
  Suite* suite = suite_create("back pressure");
  TCase* cases = tcase_create("back pressure");
  tcase_add_test(cases, a_consumer_that_holds_buffers_stops_the_sender_and_nothing_is_lost);
  tcase_add_test(cases, a_leaky_sender_never_waits_and_counts_what_it_drops);
  tcase_add_test(cases, a_picture_that_is_held_never_changes);
  tcase_add_test(cases, a_held_picture_outlives_both_sides);
  tcase_add_test(cases, without_a_peer_a_sender_told_not_to_wait_drops_and_counts);
  tcase_add_test(cases, a_sender_that_waits_for_its_peer_leaves_at_once);
  tcase_add_test(cases, a_sender_that_waits_for_credit_leaves_at_once);
  tcase_add_test(cases, a_flush_ends_the_wait_for_a_peer);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(back_pressure)
