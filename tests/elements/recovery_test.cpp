// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <map>
#include <thread>

#include "child.hpp"
#include "streams.hpp"

using namespace fabric::test;
using namespace std::chrono_literals;

namespace {

const char* const kStream = "anything";  // sizes that vary: rings that grow, too

/// Pushes buffer after buffer of the stream until told to stop.
class Feed {
 public:
  explicit Feed(Sender& sender)
      : thread_([this, &sender] {
          const Stream& all = stream(kStream);
          sender.begin(all.caps.front());
          for (unsigned i = 0; !stop_; ++i) {
            if (i > 0 && i % kBuffersPerCaps == 0) {
              sender.push(gst_event_new_caps(all.caps_at(i).get()));
            }
            if (sender.push(all.buffer(i)) != GST_FLOW_OK) break;
            ++pushed_;
            std::this_thread::sleep_for(1ms);
          }
        }) {}
  ~Feed() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] unsigned pushed() const { return pushed_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<unsigned> pushed_ = 0;
  std::thread thread_;
};

/// What a receiving child said of its buffers.
struct Report {
  std::map<unsigned, std::string> buffers;  // number, "ok" or what differs
  unsigned last = 0;
};

/// Reads `count` lines about buffers, each of which must be right and the next or a later one.
void read_report(Child& child, Report& report, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    const std::string line = child.wait_line("buffer");
    fail_unless(line.find(" ok") != std::string::npos, "%s", line.c_str());
    const auto number = static_cast<unsigned>(std::stoul(line));
    fail_unless(report.buffers.empty() || number == report.last + 1, "%u after %u", number,
                report.last);
    report.buffers[number] = line;
    report.last = number;
  }
}

/// The rest of what it said before it was killed.
void read_rest(Child& child, Report& report) {
  for (std::string line = child.wait_line("buffer", 1s); line.find(" ok") != std::string::npos;
       line = child.wait_line("buffer", 1s)) {
    report.last = static_cast<unsigned>(std::stoul(line));
    report.buffers[report.last] = line;
  }
}

}  // namespace

GST_START_TEST(a_sender_may_start_before_its_receiver_and_nothing_is_lost) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  Feed feed(sender);
  Child receiver({"receive", std::to_string(port), kStream});
  Report report;
  fail_unless(receiver.wait_line("discont") == "0");
  read_report(receiver, report, 20);
  feed.stop();
  fail_unless_equals_uint64(sender.stat("grains-lost"), 0);
  fail_unless_equals_uint64(sender.stat("grains-dropped"), 0);
}
GST_END_TEST

GST_START_TEST(a_receiver_may_start_before_its_sender) {
  Child receiver({"receive", "0", kStream});
  const std::string port = receiver.wait_line("port");
  Sender sender(static_cast<guint>(std::stoul(port)));
  sender.set_state(GST_STATE_PLAYING);
  Feed feed(sender);
  Report report;
  fail_unless(receiver.wait_line("discont") == "0");
  read_report(receiver, report, 20);
}
GST_END_TEST

GST_START_TEST(a_sender_survives_the_death_of_its_receiver) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  Feed feed(sender);
  Report first_report;
  pid_t dead = 0;
  {
    Child receiver({"receive", std::to_string(port), kStream});
    read_report(receiver, first_report, 30);
    receiver.kill();
    read_rest(receiver, first_report);
    dead = receiver.pid();
    fail_unless(sender.wait_peer("disconnected"));
    // What it left is removed by the survivor, not by Child, which does so as it goes.
    fail_unless(eventually([&] { return shm_files_of(dead) == 0; }));
  }
  Report second_report;
  Child receiver({"receive", std::to_string(port), kStream});
  const std::string discont = receiver.wait_line("discont");
  fail_if(discont == "?");
  read_report(receiver, second_report, 30);
  // The first of the new session has DISCONT, and none comes twice.
  const unsigned begin = second_report.buffers.begin()->first;
  fail_unless(discont == std::to_string(begin));
  fail_unless(begin > first_report.last);
  feed.stop();
  fail_unless(sender.push(gst_event_new_eos()));
  read_report(receiver, second_report, feed.pushed() - 1 - second_report.last);

  // Each grain is accounted for: lost ones are those the dead receiver never acknowledged, which
  // may be some that it took (what was on its way when it died: no more than its ring).
  const guint64 grains = sender.stat("grains");
  const guint64 lost = sender.stat("grains-lost");
  fail_unless_equals_uint64(grains + sender.stat("grains-dropped"), feed.pushed());
  const guint64 arrived = first_report.buffers.size() + second_report.buffers.size();
  constexpr guint64 kSlots = 8;
  fail_unless(grains <= arrived + lost + kSlots && arrived <= grains - lost + kSlots,
              "%" G_GUINT64_FORMAT " grains, %" G_GUINT64_FORMAT " lost, %" G_GUINT64_FORMAT
              " arrived",
              grains, lost, arrived);
  // What the second receiver has is exact.
  fail_unless_equals_uint64(second_report.buffers.size(), feed.pushed() - begin);
  fail_unless_equals_uint64(sender.stat("reconnects"), 1);
}
GST_END_TEST

GST_START_TEST(a_receiver_survives_the_death_of_its_sender) {
  Receiver receiver;
  receiver.start();
  const std::string port = std::to_string(receiver.port());
  const Stream& all = stream(kStream);
  guint64 arrived = 0;
  for (int life = 0; life < 2; ++life) {
    pid_t dead = 0;
    {
      Child sender({"send", port, kStream, "0", "1000"});
      fail_unless(receiver.wait_buffers(static_cast<std::size_t>(arrived) + 40));
      sender.kill();
      dead = sender.pid();
      fail_unless(receiver.wait_peer("disconnected"));
      fail_unless(eventually([&] { return shm_files_of(dead) == 0; }));
    }
    // Everything that landed before is delivered, and nothing after.
    fail_unless(eventually([&] { return receiver.stat("grains") == receiver.buffers(); }));
    const auto items = receiver.take_buffers();
    fail_unless(items.size() >= 40);
    for (unsigned i = 0; i < items.size(); ++i) {
      // The stream of the new sender begins anew, with DISCONT, and none of its pictures is torn.
      const std::string found =
          difference(all.buffer(i).get(), items[i].buffer.get(), items[i].flags);
      fail_unless(found.empty(), "life %d: %s", life, found.c_str());
      fail_unless_equals_int((items[i].flags & GST_BUFFER_FLAG_DISCONT) != 0, i == 0);
    }
    arrived += items.size();
  }
  fail_unless_equals_uint64(receiver.stat("grains"), arrived);
  fail_unless_equals_uint64(receiver.stat("reconnects"), 1);
}
GST_END_TEST

GST_START_TEST(a_sender_goes_on_when_its_receiver_thaws) {
  const guint port = free_port();
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  Feed feed(sender);
  Child receiver({"receive", std::to_string(port), kStream});
  Report before;
  read_report(receiver, before, 30);
  receiver.freeze();
  fail_unless(sender.wait_peer("disconnected"));
  receiver.thaw();
  fail_unless(sender.wait_peer("connected", 3 * kPatience));

  // What it had got before is told first, and each in its turn.
  std::string line = receiver.next_line();
  for (; line.rfind("buffer ", 0) == 0; line = receiver.next_line()) {
    const auto number = static_cast<unsigned>(std::stoul(line.substr(7)));
    fail_unless(number == before.last + 1 && line.find(" ok") != std::string::npos, "%s after %u",
                line.c_str(), before.last);
    before.last = number;
  }
  fail_unless(line.rfind("discont ", 0) == 0, "%s", line.c_str());
  Report after;
  read_report(receiver, after, 30);
  const unsigned begin = after.buffers.begin()->first;
  fail_unless(line == "discont " + std::to_string(begin));
  feed.stop();
  fail_unless(sender.push(gst_event_new_eos()));
  read_report(receiver, after, feed.pushed() - 1 - after.last);

  // It remembers the stream, so that the account is exact.
  fail_unless_equals_uint64(sender.stat("grains"), feed.pushed());
  fail_unless_equals_uint64(sender.stat("grains-lost"), begin - before.last - 1);
  fail_unless_equals_uint64(sender.stat("grains-dropped"), 0);
  fail_unless_equals_uint64(sender.stat("reconnects"), 1);
}
GST_END_TEST

GST_START_TEST(a_receiver_goes_on_when_its_sender_thaws) {
  Receiver receiver;
  receiver.start();
  Child sender({"send", std::to_string(receiver.port()), kStream, "0", "1000"});
  fail_unless(receiver.wait_buffers(30));
  sender.freeze();
  fail_unless(receiver.wait_peer("disconnected"));
  fail_unless(eventually([&] { return receiver.stat("grains") == receiver.buffers(); }));
  const std::size_t before = receiver.buffers();
  sender.thaw();
  fail_unless(receiver.wait_peer("connected", 3 * kPatience));
  fail_unless(receiver.wait_buffers(before + 30));

  const auto items = receiver.take_buffers();
  const Stream& all = stream(kStream);
  guint64 next = 0;
  guint64 lost = 0;
  for (const Item& item : items) {
    const guint64 number = GST_BUFFER_OFFSET(item.buffer.get());
    const std::string found =
        difference(all.buffer(static_cast<unsigned>(number)).get(), item.buffer.get(), item.flags);
    fail_unless(found.empty(), "%s", found.c_str());
    fail_unless(number == next || (number > next && &item == &items[before]),
                "%" G_GUINT64_FORMAT ", not %" G_GUINT64_FORMAT, number, next);
    fail_unless_equals_int((item.flags & GST_BUFFER_FLAG_DISCONT) != 0,
                           number == 0 || &item == &items[before]);
    lost += number - next;
    next = number + 1;
  }
  fail_unless_equals_uint64(receiver.stat("grains-lost"), lost);
  fail_unless_equals_uint64(receiver.stat("reconnects"), 1);
}
GST_END_TEST

GST_START_TEST(a_sender_told_not_to_wait_counts_what_a_dead_receiver_misses) {
  const guint port = free_port();
  Sender sender(port, {{"wait-for-connection", "false"}});
  sender.set_state(GST_STATE_PLAYING);
  Feed feed(sender);
  Report report;
  {
    Child receiver({"receive", std::to_string(port), kStream});
    read_report(receiver, report, 10);
    receiver.kill();
    fail_unless(sender.wait_peer("disconnected"));
  }
  const guint64 dropped = sender.stat("grains-dropped");
  fail_unless(eventually([&] { return sender.stat("grains-dropped") >= dropped + 20; }));
  Child receiver({"receive", std::to_string(port), kStream});
  fail_if(receiver.wait_line("discont") == "?");
  Report later;
  read_report(receiver, later, 10);
  fail_unless(later.buffers.begin()->first >= report.last + 20);
  feed.stop();
  fail_unless_equals_uint64(sender.stat("grains") + sender.stat("grains-dropped"), feed.pushed());
}
GST_END_TEST

namespace {

Suite* recovery_suite() {
  Suite* suite = suite_create("recovery");
  TCase* cases = tcase_create("recovery");
  tcase_add_test(cases, a_sender_may_start_before_its_receiver_and_nothing_is_lost);
  tcase_add_test(cases, a_receiver_may_start_before_its_sender);
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, a_sender_survives_the_death_of_its_receiver);
  tcase_add_test(cases, a_receiver_survives_the_death_of_its_sender);
  tcase_add_test(cases, a_sender_goes_on_when_its_receiver_thaws);
  tcase_add_test(cases, a_receiver_goes_on_when_its_sender_thaws);
  tcase_add_test(cases, a_sender_told_not_to_wait_counts_what_a_dead_receiver_misses);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(recovery)
