// SPDX-License-Identifier: Apache-2.0
#include <gst/base/gstbasesink.h>

#include <dirent.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "pair.hpp"
#include "session/terms.hpp"

using namespace fabric::test;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

const char* const kAnything = "application/x-anything";
/// What a person takes for "at once", on a loaded machine.
constexpr milliseconds kAtOnce = std::chrono::seconds(2) * grainfabric::test::kSlowdown;

std::size_t entries_of(const char* folder) {
  std::size_t count = 0;
  DIR* directory = ::opendir(folder);
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

bool push_some(Sender& sender, int count) {
  for (int i = 0; i < count; ++i) {
    if (sender.push(buffer_of("grain " + std::to_string(i))) != GST_FLOW_OK) return false;
  }
  return true;
}

/// Runs `task` on a thread of its own, as upstream's streaming thread would.
class Streaming {
 public:
  explicit Streaming(std::function<GstFlowReturn()> task)
      : thread_([this, work = std::move(task)] {
          flow_ = work();
          done_ = true;
        }) {}
  ~Streaming() { thread_.join(); }
  Streaming(const Streaming&) = delete;
  Streaming& operator=(const Streaming&) = delete;
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] GstFlowReturn flow() const { return flow_; }

 private:
  std::atomic<bool> done_ = false;
  std::atomic<GstFlowReturn> flow_ = GST_FLOW_OK;
  std::thread thread_;
};

}  // namespace

GST_START_TEST(a_hundred_state_cycles_leave_nothing_behind) {
  // Enough rounds first that everything which is made once has been made.
  std::size_t files = 0;
  std::size_t threads = 0;
  for (int round = 0; round < 105; ++round) {
    if (round == 5) {
      files = entries_of("/proc/self/fd");
      threads = entries_of("/proc/self/task");
    }
    Receiver receiver;
    receiver.start();
    Sender sender(receiver.port());
    sender.set_state(GST_STATE_PLAYING);
    sender.begin(kAnything);
    fail_unless(push_some(sender, 3));
    fail_unless(receiver.wait_buffers(1));
    if (round % 2 == 0) receiver.set_state(GST_STATE_NULL);  // each side leaves first in turn
    sender.set_state(GST_STATE_NULL);
  }
  fail_unless(eventually([&] { return entries_of("/proc/self/fd") <= files; }),
              "%zu files, then %zu", files, entries_of("/proc/self/fd"));
  // GLib and GStreamer keep pools of a few idle threads, as they like.
  fail_unless(eventually([&] { return entries_of("/proc/self/task") <= threads + 4; }));
}
GST_END_TEST

GST_START_TEST(elements_cycle_with_their_peer_staying) {
  Receiver receiver(Properties{{"keep-listening", "true"}});
  receiver.start();
  Sender sender(receiver.port());
  for (std::size_t round = 1; round <= 20; ++round) {
    sender.set_state(GST_STATE_PLAYING);
    gst_pad_set_active(sender.pad(), TRUE);
    sender.begin(kAnything);
    fail_unless(push_some(sender, 2));
    fail_unless(receiver.wait_buffers(2 * round));
    sender.set_state(GST_STATE_NULL);
  }
}
GST_END_TEST

GST_START_TEST(a_receiver_restarts_without_restart_of_its_sender) {
  const guint port = free_port();
  Receiver receiver(Properties{{"port", std::to_string(port)}});
  receiver.start();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  for (std::size_t round = 1; round <= 10; ++round) {
    const std::size_t before = receiver.buffers();
    fail_unless(eventually([&] { return push_some(sender, 1) && receiver.buffers() > before; }));
    receiver.set_state(GST_STATE_NULL);
    receiver.start();
  }
  fail_unless(eventually([&] { return sender.stat("reconnects") >= 9; }));
}
GST_END_TEST

GST_START_TEST(playing_is_reached_before_the_peer_exists) {
  Sender sender(free_port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  Streaming upstream([&] { return sender.push(buffer_of("waits")); });
  GstState state = GST_STATE_NULL;
  fail_unless_equals_int(
      gst_element_get_state(sender.pipeline(), &state, nullptr, kPatience.count() * GST_MSECOND),
      GST_STATE_CHANGE_SUCCESS);
  fail_unless_equals_int(state, GST_STATE_PLAYING);
  fail_if(upstream.done());
  const auto begin = steady_clock::now();
  sender.set_state(GST_STATE_NULL);
  fail_unless(eventually([&] { return upstream.done(); }));
  fail_unless(steady_clock::now() - begin < kAtOnce);
  fail_unless_equals_int(upstream.flow(), GST_FLOW_FLUSHING);

  Receiver receiver;
  fail_unless_equals_int(receiver.set_state(GST_STATE_PAUSED), GST_STATE_CHANGE_NO_PREROLL);
  receiver.start();
  fail_unless_equals_int(gst_element_get_state(receiver.pipeline(), &state, nullptr, 0),
                         GST_STATE_CHANGE_SUCCESS);
  const auto stop = steady_clock::now();
  receiver.set_state(GST_STATE_NULL);
  fail_unless(steady_clock::now() - stop < kAtOnce);
}
GST_END_TEST

GST_START_TEST(a_sender_in_ready_has_no_session_and_takes_another_address) {
  Receiver receiver(Properties{{"keep-listening", "true"}});
  receiver.start();
  Sender sender(free_port());
  sender.set_state(GST_STATE_READY);
  g_object_set(sender.element(), "port", receiver.port(), nullptr);
  sender.set_state(GST_STATE_PLAYING);
  fail_unless(sender.wait_peer("connected"));
  fail_unless(receiver.wait_peer("connected"));
  sender.set_state(GST_STATE_READY);
  fail_unless(receiver.wait_peer("disconnected"));
  Sender other(receiver.port());
  other.set_state(GST_STATE_PLAYING);
  other.begin(kAnything);
  fail_unless(push_some(other, 1));
  fail_unless(receiver.wait_buffers(1));
}
GST_END_TEST

GST_START_TEST(a_flush_breaks_the_wait_for_a_peer_and_the_stream_goes_on_after_it) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  {
    Streaming upstream([&] { return sender.push(buffer_of("waits")); });
    fail_if(eventually([&] { return upstream.done(); }, milliseconds(200)), "%s",
            gst_flow_get_name(upstream.flow()));
    sender.push(gst_event_new_flush_start());
    fail_unless(eventually([&] { return upstream.done(); }, kAtOnce));
    fail_unless_equals_int(upstream.flow(), GST_FLOW_FLUSHING);
  }
  sender.push(gst_event_new_flush_stop(TRUE));
  Receiver receiver(Properties{{"port", std::to_string(port)}});
  receiver.start();
  sender.begin(kAnything);
  fail_unless(push_some(sender, 3));
  fail_unless(receiver.wait_buffers(3));
}
GST_END_TEST

GST_START_TEST(a_flush_of_the_receiver_drops_what_it_had_and_goes_on) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless(push_some(sender, 20));
  fail_unless(gst_element_send_event(receiver.element(), gst_event_new_flush_start()));
  fail_unless(push_some(sender, 20));  // nobody takes them, and they block nobody for long
  receiver.take();  // before the flush ends: what is left of the first ones may follow at once
  const std::size_t before = receiver.buffers();
  fail_unless(gst_element_send_event(receiver.element(), gst_event_new_flush_stop(TRUE)));
  fail_unless(push_some(sender, 5));
  fail_unless(receiver.wait_buffers(before + 5));
  // A segment goes before the first buffer after a flush.
  bool segment = false;
  for (const Item& item : receiver.take()) {
    segment = segment || item.is(GST_EVENT_SEGMENT);
    if (item.buffer) break;
  }
  fail_unless(segment);
}
GST_END_TEST

GST_START_TEST(new_caps_that_come_while_the_receiver_flushes_hold_after_it) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless(push_some(sender, 1));
  fail_unless(receiver.wait_buffers(1));
  fail_unless(gst_element_send_event(receiver.element(), gst_event_new_flush_start()));
  const fabric::CapsPtr caps = caps_of("application/x-other");
  fail_unless(sender.push(gst_event_new_caps(caps.get())));
  fail_unless(push_some(sender, 3));
  fail_unless(eventually([&] { return receiver.stat("grains") == 4; }));  // the caps before them
  receiver.take();
  fail_unless(gst_element_send_event(receiver.element(), gst_event_new_flush_stop(TRUE)));
  fail_unless(receiver.wait_event(GST_EVENT_CAPS));
  bool has_caps = false;
  for (const Item& item : receiver.take()) {
    if (!item.is(GST_EVENT_CAPS)) continue;
    GstCaps* came = nullptr;
    gst_event_parse_caps(item.event.get(), &came);
    has_caps = gst_caps_is_equal(came, caps.get()) == TRUE;
  }
  fail_unless(has_caps);
}
GST_END_TEST

GST_START_TEST(a_receiver_that_comes_after_a_flush_is_not_ended_by_the_eos_before_it) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  {
    Receiver first(Properties{{"port", std::to_string(port)}});
    first.start();
    sender.begin(kAnything);
    fail_unless(push_some(sender, 1));
    sender.push(gst_event_new_eos());
    fail_unless(first.wait_event(GST_EVENT_EOS));
  }
  sender.push(gst_event_new_flush_start());  // as by a seek back to the beginning
  sender.push(gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  fail_unless(sender.push(gst_event_new_segment(&segment)));
  Receiver second(Properties{{"port", std::to_string(port)}});
  second.start();
  fail_unless(push_some(sender, 3));
  fail_unless(second.wait_buffers(3));
  for (const Item& item : second.take()) fail_if(item.is(GST_EVENT_EOS));
}
GST_END_TEST

GST_START_TEST(a_pause_of_the_sender_holds_the_buffer_that_waits) {
  Receiver receiver({}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port(), {{"slots", "2"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  {
    Streaming upstream([&] {
      const bool all = push_some(sender, 3);  // the third waits for a slot
      return all ? GST_FLOW_OK : GST_FLOW_ERROR;
    });
    fail_unless(receiver.wait_buffers(2));
    sender.set_state(GST_STATE_PAUSED);
    receiver.take();
    fail_if(receiver.wait_buffers(3, milliseconds(200)));
    sender.set_state(GST_STATE_PLAYING);
    fail_unless(receiver.wait_buffers(3));
    fail_unless(eventually([&] { return upstream.done(); }));
    fail_unless_equals_int(upstream.flow(), GST_FLOW_OK);
  }
}
GST_END_TEST

GST_START_TEST(a_pause_of_the_sender_holds_the_event_that_waits) {
  // More than may be on their way at a time.
  constexpr std::size_t kEvents = 2 * grainfabric::protocol::kEventWindow;
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless(push_some(sender, 1));
  fail_unless(receiver.wait_buffers(1));
  receiver.set_state(GST_STATE_PAUSED);
  {
    std::atomic<std::size_t> pushed = 0;
    Streaming upstream([&] {
      for (; pushed < kEvents; ++pushed) {
        if (!sender.push(gst_event_new_gap(pushed, 1))) return GST_FLOW_ERROR;
      }
      return GST_FLOW_OK;
    });
    std::size_t before = 0;
    const auto moved = [&] { return std::exchange(before, pushed.load()) != before; };
    while (eventually(moved, milliseconds(500))) {
    }
    fail_if(upstream.done());
    sender.set_state(GST_STATE_PAUSED);
    sender.set_state(GST_STATE_PLAYING);
    receiver.start();
    fail_unless(eventually([&] { return upstream.done(); }));
    fail_unless_equals_int(upstream.flow(), GST_FLOW_OK);
  }
  fail_unless(push_some(sender, 1));
  fail_unless(receiver.wait_buffers(2));
  GstClockTime next = 0;
  for (const Item& item : receiver.take()) {
    if (!item.is(GST_EVENT_GAP)) continue;
    GstClockTime timestamp = 0;
    gst_event_parse_gap(item.event.get(), &timestamp, nullptr);
    fail_unless_equals_uint64(timestamp, next++);
  }
  fail_unless_equals_uint64(next, kEvents);
}
GST_END_TEST

GST_START_TEST(a_pause_of_the_receiver_holds_the_stream) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port(), {{"slots", "4"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless(push_some(sender, 1));
  fail_unless(receiver.wait_buffers(1));
  fail_unless_equals_int(receiver.set_state(GST_STATE_PAUSED), GST_STATE_CHANGE_NO_PREROLL);
  {
    Streaming upstream([&] { return push_some(sender, 20) ? GST_FLOW_OK : GST_FLOW_ERROR; });
    fail_if(eventually([&] { return upstream.done(); }, milliseconds(200)));
    fail_unless(receiver.buffers() <= 2);
    receiver.start();
    fail_unless(receiver.wait_buffers(21));
  }
}
GST_END_TEST

GST_START_TEST(eos_is_posted_when_everything_has_arrived_and_a_new_stream_may_follow) {
  Receiver receiver(Properties{{"keep-listening", "true"}});
  receiver.start();
  for (std::size_t round = 1; round <= 3; ++round) {
    Sender sender(receiver.port());
    sender.set_state(GST_STATE_PLAYING);
    sender.begin(kAnything, ("test/" + std::to_string(round)).c_str());
    fail_unless(push_some(sender, 10));
    sender.push(gst_event_new_eos());
    fail_unless(sender.wait_message(GST_MESSAGE_EOS) != nullptr);
    fail_unless_equals_uint64(receiver.stat("grains"), 10 * round);
    fail_unless(receiver.wait_buffers(10 * round));
  }
  for (const Item& item : receiver.take()) fail_if(item.is(GST_EVENT_EOS));
}
GST_END_TEST

GST_START_TEST(eos_ends_the_receiver_unless_it_keeps_listening) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless(push_some(sender, 2));
  sender.push(gst_event_new_eos());
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  fail_unless_equals_int(receiver.buffers(), 2);
}
GST_END_TEST

GST_START_TEST(an_application_may_end_the_receiver) {
  Receiver receiver;
  receiver.start();
  fail_unless(gst_element_send_event(receiver.element(), gst_event_new_eos()));
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
}
GST_END_TEST

GST_START_TEST(num_buffers_ends_the_receiver) {
  Receiver receiver(Properties{{"num-buffers", "3"}});
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless(push_some(sender, 6));
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  fail_unless_equals_int(receiver.buffers(), 3);
}
GST_END_TEST

GST_START_TEST(several_pairs_live_in_one_process) {
  std::vector<std::unique_ptr<Receiver>> receivers;
  std::vector<std::unique_ptr<Sender>> senders;
  constexpr std::size_t kPairs = 4;
  for (std::size_t i = 0; i < kPairs; ++i) {
    receivers.push_back(std::make_unique<Receiver>());
    receivers.back()->start();
    senders.push_back(std::make_unique<Sender>(receivers.back()->port()));
    senders.back()->set_state(GST_STATE_PLAYING);
    senders.back()->begin(kAnything);
  }
  for (int grain = 0; grain < 50; ++grain) {
    for (std::size_t i = 0; i < kPairs; ++i) {
      const std::string text = std::to_string(i) + "/" + std::to_string(grain);
      fail_unless_equals_int(senders[i]->push(buffer_of(text)), GST_FLOW_OK);
    }
  }
  for (std::size_t i = 0; i < kPairs; ++i) {
    fail_unless(receivers[i]->wait_buffers(50));
    int grain = 0;
    for (const Item& item : receivers[i]->take_buffers()) {
      fail_unless(bytes_of(item.buffer.get()) == std::to_string(i) + "/" + std::to_string(grain++));
    }
  }
}
GST_END_TEST

GST_START_TEST(every_address_form_of_this_host_is_reached) {
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    Receiver receiver(Properties{{"address", ""}});
    receiver.start();
    Sender sender(receiver.port(), {{"host", host}});
    // "localhost" is the default that the fixture replaces.
    g_object_set(sender.element(), "host", host, nullptr);
    sender.set_state(GST_STATE_PLAYING);
    sender.begin(kAnything);
    fail_unless(push_some(sender, 2));
    fail_unless(receiver.wait_buffers(2), "by %s", host);
  }
}
GST_END_TEST

GST_START_TEST(a_quiet_sender_is_told_once_after_the_timeout) {
  Receiver receiver(Properties{{"timeout", "200000000"}});
  receiver.start();
  const fabric::MessagePtr message = receiver.wait_message(GST_MESSAGE_ELEMENT);
  fail_unless(message != nullptr && gst_message_has_name(message.get(), "fabric-timeout"));
  fail_unless(receiver.wait_message(GST_MESSAGE_ELEMENT, milliseconds(500)) == nullptr);
}
GST_END_TEST

static Suite* life_suite() {
  Suite* suite = suite_create("life");
  TCase* cases = tcase_create("life");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, a_hundred_state_cycles_leave_nothing_behind);
  tcase_add_test(cases, elements_cycle_with_their_peer_staying);
  tcase_add_test(cases, a_receiver_restarts_without_restart_of_its_sender);
  tcase_add_test(cases, playing_is_reached_before_the_peer_exists);
  tcase_add_test(cases, a_sender_in_ready_has_no_session_and_takes_another_address);
  tcase_add_test(cases, a_flush_breaks_the_wait_for_a_peer_and_the_stream_goes_on_after_it);
  tcase_add_test(cases, a_flush_of_the_receiver_drops_what_it_had_and_goes_on);
  tcase_add_test(cases, new_caps_that_come_while_the_receiver_flushes_hold_after_it);
  tcase_add_test(cases, a_receiver_that_comes_after_a_flush_is_not_ended_by_the_eos_before_it);
  tcase_add_test(cases, a_pause_of_the_sender_holds_the_buffer_that_waits);
  tcase_add_test(cases, a_pause_of_the_sender_holds_the_event_that_waits);
  tcase_add_test(cases, a_pause_of_the_receiver_holds_the_stream);
  tcase_add_test(cases, eos_is_posted_when_everything_has_arrived_and_a_new_stream_may_follow);
  tcase_add_test(cases, eos_ends_the_receiver_unless_it_keeps_listening);
  tcase_add_test(cases, an_application_may_end_the_receiver);
  tcase_add_test(cases, num_buffers_ends_the_receiver);
  tcase_add_test(cases, several_pairs_live_in_one_process);
  tcase_add_test(cases, every_address_form_of_this_host_is_reached);
  tcase_add_test(cases, a_quiet_sender_is_told_once_after_the_timeout);
  return suite;
}

GST_CHECK_MAIN(life)
