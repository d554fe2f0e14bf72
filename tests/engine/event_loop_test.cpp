// SPDX-License-Identifier: Apache-2.0
#include <glib-unix.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "patience.hpp"

namespace grainfabric {
namespace {

using namespace test;

/// Counts down what is written to an eventfd, and checks how the loop treats it.
class Counter final : public Pollable {
 public:
  std::atomic<int> progressed{0};
  std::atomic<int> armed{0};
  std::atomic<int> polls_without_arm{0};
  std::atomic<bool> pending{false};  ///< arm() refuses once.
  bool has_fd = true;
  UniqueFd event{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::function<void()> when_progressed;

  void append_fds(std::vector<int>* fds) const override {
    if (has_fd) fds->push_back(event.get());
  }
  bool arm() override {
    ++armed;
    return !pending.exchange(false);
  }
  bool progress() override {
    std::uint64_t count = 0;
    const bool read = ::read(event.get(), &count, sizeof count) == sizeof count;
    ++progressed;
    if (when_progressed) when_progressed();
    return read;
  }
  void signal() const {
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(event.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
};

/// Whether this process is idle; a loop that something is reported to again and again is not.
bool sleeps() {
  std::this_thread::sleep_for(20ms);
  const auto cpu = [] {
    timespec spent{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return spent.tv_sec * 1000 + spent.tv_nsec / 1'000'000;
  };
  const auto before = cpu();
  std::this_thread::sleep_for(300ms);
  return cpu() - before < 50;
}

TEST(EventLoop, tasks_of_one_thread_run_in_the_order_they_were_posted) {
  EventLoop loop;
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) loop.post([&order, i] { order.push_back(i); });
  loop.call([] {});
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(EventLoop, a_hundred_thousand_tasks_of_four_threads_all_run) {
  EventLoop loop;
  constexpr int kEach = 25'000;
  std::vector<int> seen(4, 0);  // loop thread only
  bool in_order = true;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&, t, i] { in_order = in_order && seen[t]++ == i; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  loop.call([&] {
    EXPECT_TRUE(in_order);
    EXPECT_EQ(seen, std::vector<int>(4, kEach));
  });
}

TEST(EventLoop, call_runs_there_and_brings_back_what_was_thrown) {
  EventLoop loop;
  bool there = false;
  loop.call([&] { there = loop.on_loop_thread(); });
  EXPECT_TRUE(there);
  EXPECT_FALSE(loop.on_loop_thread());
  EXPECT_THROW(loop.call([] { throw Error(ErrorCode::busy, "no"); }), Error);
  loop.call([&] { loop.call([&] { there = false; }); });  // a call from there runs at once
  EXPECT_FALSE(there);
}

TEST(EventLoop, what_was_posted_before_the_end_still_runs) {
  std::atomic<int> ran{0};
  {
    EventLoop loop;
    for (int i = 0; i < 100; ++i) loop.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

TEST(EventLoop, what_a_task_captured_is_gone_before_the_next_task_runs) {
  EventLoop loop;
  auto token = std::make_shared<int>(1);
  const std::weak_ptr<int> gone = token;
  loop.post([held = std::move(token)] {});
  bool expired = false;
  loop.call([&] { expired = gone.expired(); });
  EXPECT_TRUE(expired);
}

TEST(EventLoop, it_may_be_destroyed_on_its_own_thread) {
  std::atomic<bool> done{false};
  auto loop = std::make_shared<EventLoop>();
  EventLoop* raw = loop.get();
  auto after = std::shared_ptr<void>(nullptr, [&](void*) { done = true; });
  raw->post([held = std::move(loop), after = std::move(after)] {});
  EXPECT_TRUE(eventually([&] { return done.load(); }));
}

TEST(EventLoop, a_timer_fires_once_and_not_before_its_time) {
  EventLoop loop;
  std::atomic<int> fired{0};
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point when;
  EventLoop::Source timer;
  EventLoop::Source later;
  std::atomic<bool> later_fired{false};
  loop.call([&] {
    timer = loop.after(20ms, [&] {
      when = std::chrono::steady_clock::now();
      ++fired;
    });
    later = loop.after(60ms, [&] { later_fired = true; });
  });
  ASSERT_TRUE(eventually([&] { return later_fired.load(); }));
  EXPECT_EQ(fired, 1);
  EXPECT_GE(when - begin, 19ms);
  loop.call([&] { timer.reset(), later.reset(); });
}

TEST(EventLoop, a_source_that_is_gone_does_not_fire) {
  EventLoop loop;
  std::atomic<bool> fired{false};
  std::atomic<bool> later_fired{false};
  EventLoop::Source later;
  loop.call([&] {
    EventLoop::Source timer = loop.after(5ms, [&] { fired = true; });
    timer.reset();
    EventLoop::Source replaced = loop.every(5ms, [&] { fired = true; });
    replaced = loop.after(10ms, [&] { fired = true; });
    later = loop.after(30ms, [&] { later_fired = true; });
  });
  ASSERT_TRUE(eventually([&] { return later_fired.load(); }));
  EXPECT_FALSE(fired);
  loop.call([&] { later.reset(); });
}

TEST(EventLoop, a_source_may_be_destroyed_in_its_own_callback) {
  EventLoop loop;
  std::atomic<int> fired{0};
  EventLoop::Source timer;
  loop.call([&] {
    // The task holds memory that must outlive the reset which it calls itself.
    timer = loop.every(1ms, [&, held = std::make_shared<int>(42)] {
      timer.reset();
      fired += *held;
    });
  });
  EXPECT_TRUE(eventually([&] { return fired == 42; }));
  loop.call([] {});
  EXPECT_EQ(fired, 42);
}

TEST(EventLoop, a_watched_descriptor_wakes_it_and_costs_nothing_while_quiet) {
  EventLoop loop;
  Counter counter;
  EventLoop::Source watch;
  loop.call([&] { watch = loop.watch(counter, Polling::event); });
  counter.signal();
  ASSERT_TRUE(eventually([&] { return counter.progressed > 0; }));
  EXPECT_GT(counter.armed, 0);  // never slept on without
  const int before = counter.progressed;
  std::this_thread::sleep_for(50ms);
  EXPECT_LE(counter.progressed, before + 1);
  loop.call([&] { watch.reset(); });
}

TEST(EventLoop, what_refuses_to_be_slept_on_gets_progress_at_once) {
  EventLoop loop;
  Counter counter;
  counter.pending = true;
  EventLoop::Source watch;
  loop.call([&] { watch = loop.watch(counter, Polling::event); });
  EXPECT_TRUE(eventually([&] { return counter.progressed > 0; }));
  loop.call([&] { watch.reset(); });
}

TEST(EventLoop, what_has_no_descriptor_is_polled_by_time) {
  EventLoop loop;
  Counter counter;
  counter.has_fd = false;
  EventLoop::Source watch;
  loop.call([&] { watch = loop.watch(counter, Polling::event); });
  EXPECT_TRUE(eventually([&] { return counter.progressed > 100; }));
  loop.call([&] { watch.reset(); });
}

TEST(EventLoop, what_was_closed_while_another_had_a_copy_of_it_is_forgotten) {
  EventLoop loop;
  Counter counter;
  Counter other;
  EventLoop::Source watch;
  EventLoop::Source other_watch;
  loop.call([&] {
    watch = loop.watch(counter, Polling::event);
    other_watch = loop.watch(other, Polling::event);
  });
  const UniqueFd copy(::dup(counter.event.get()));
  loop.call([&] {
    counter.event.reset();  // the wrong way round
    watch.reset();
  });
  const std::uint64_t one = 1;
  ASSERT_EQ(::write(copy.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  EXPECT_TRUE(sleeps());
  const int progressed = other.progressed;
  other.signal();
  EXPECT_TRUE(eventually([&] { return other.progressed > progressed; }));
  loop.call([&] { other_watch.reset(); });
}

TEST(EventLoop, a_source_closed_while_another_had_a_copy_of_its_descriptor_is_forgotten) {
  EventLoop loop;
  UniqueFd event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const UniqueFd copy(::dup(event.get()));
  GSource* source = g_unix_fd_source_new(event.get(), G_IO_IN);
  g_source_set_callback(
      source, G_SOURCE_FUNC(+[](gint, GIOCondition, gpointer) { return G_SOURCE_CONTINUE; }),
      nullptr, nullptr);
  g_source_attach(source, loop.context());
  loop.call([] {});
  std::this_thread::sleep_for(20ms);  // it is polled
  loop.call([&] {
    event.reset();  // the wrong way round
    g_source_destroy(source);
  });
  g_source_unref(source);
  std::this_thread::sleep_for(20ms);  // it is no longer
  const std::uint64_t one = 1;
  ASSERT_EQ(::write(copy.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  EXPECT_TRUE(sleeps());
  std::atomic<bool> fired{false};
  EventLoop::Source timer;
  loop.call([&] { timer = loop.after(1ms, [&] { fired = true; }); });
  EXPECT_TRUE(eventually([&] { return fired.load(); }));
}

TEST(EventLoop, nothing_runs_on_the_loop_thread_during_a_turn_of_another) {
  EventLoop loop;
  std::atomic<bool> ran{false};
  const auto turn = [&] {
    EXPECT_FALSE(loop.on_loop_thread());
    loop.post([&] { ran = true; });
    const auto timer = loop.after(1ms, [] {});
    std::this_thread::sleep_for(30ms);
    EXPECT_FALSE(ran);
  };
  EXPECT_TRUE(eventually([&] { return loop.try_turn(turn); }));
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
}

TEST(EventLoop, a_turn_is_refused_to_who_has_one_and_while_the_loop_works) {
  EventLoop loop;
  EventLoop other;
  int called = 0;
  const auto turn = [&] {
    EXPECT_FALSE(loop.try_turn([] {}));
    EXPECT_FALSE(other.try_turn([] {}));
    loop.call([&] { ++called; });  // it has what it takes
    EXPECT_EQ(called, 1);
  };
  EXPECT_TRUE(eventually([&] { return loop.try_turn(turn); }));
  loop.call([&] {
    EXPECT_FALSE(loop.try_turn([] {}));
    std::thread([&] { EXPECT_FALSE(loop.try_turn([] {})); }).join();
  });
}

TEST(EventLoop, turns_and_tasks_of_many_threads_exclude_each_other) {
  EventLoop loop;
  int inside = 0;  // no atomic: the turn is what guards it
  int turns = 0;
  const auto work = [&] {
    EXPECT_EQ(++inside, 1);
    ++turns;
    --inside;
  };
  constexpr int kEach = 2000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kEach; ++j) {
        if (!loop.try_turn(work)) loop.post(work);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  loop.call([&] { EXPECT_EQ(turns, 3 * kEach); });
}

TEST(EventLoop, busy_polling_never_sleeps) {
  EventLoop loop;
  Counter counter;
  EventLoop::Source watch;
  loop.call([&] { watch = loop.watch(counter, Polling::busy); });
  EXPECT_TRUE(eventually([&] { return counter.progressed > 1000; }));
  EXPECT_EQ(counter.armed, 0);
  loop.call([&] { watch.reset(); });
}

TEST(EventLoop, adaptive_polling_sleeps_when_nothing_comes) {
  EventLoop loop;
  Counter counter;
  EventLoop::Source watch;
  loop.call([&] { watch = loop.watch(counter, Polling::adaptive); });
  ASSERT_TRUE(eventually([&] { return counter.armed > 0; }));
  const int before = counter.progressed;
  counter.signal();
  EXPECT_TRUE(eventually([&] { return counter.progressed > before; }));
  loop.call([&] { watch.reset(); });
}

TEST(EventLoop, a_watch_may_be_destroyed_while_its_pollable_makes_progress) {
  EventLoop loop;
  auto counter = std::make_unique<Counter>();
  EventLoop::Source watch;
  std::atomic<bool> gone{false};
  counter->when_progressed = [&] {
    watch.reset();
    loop.post([&] {
      counter.reset();
      gone = true;
    });
  };
  loop.call([&] { watch = loop.watch(*counter, Polling::event); });
  counter->signal();
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
}

TEST(EventLoop, everybody_shares_one_while_somebody_holds_it) {
  auto first = EventLoop::shared();
  EXPECT_EQ(first, EventLoop::shared());
  const std::weak_ptr<EventLoop> gone = first;
  first.reset();
  EXPECT_TRUE(gone.expired());
  EXPECT_NE(EventLoop::shared(), nullptr);
}

/// CPUs of the calling thread.
std::vector<int> cpus_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(EventLoop, its_thread_stays_on_the_cpus_that_it_is_given) {
  const std::vector<int> usable = cpus_of_this_thread();
  const std::string last = std::to_string(usable.back());
  const auto loop = EventLoop::shared(last);
  std::vector<int> found;
  loop->call([&] { found = cpus_of_this_thread(); });
  EXPECT_EQ(found, std::vector<int>{usable.back()});
  EXPECT_EQ(cpus_of_this_thread(), usable);
  EXPECT_EQ(loop, EventLoop::shared(last));
  EXPECT_NE(loop, EventLoop::shared());

  EventLoop most(std::to_string(usable.front()) + "-1023");  // those that there are
  most.call([&] { found = cpus_of_this_thread(); });
  EXPECT_EQ(found, usable);
}

TEST(EventLoop, what_is_no_list_of_cpus_or_has_none_is_an_error) {
  for (const char* cpus : {"first", "2-", "-1", "1,,2x", "0x3", "1023", "99999", " "}) {
    try {
      const EventLoop loop(cpus);
      ADD_FAILURE() << '"' << cpus << '"';
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
      EXPECT_NE(std::string(error.what()).find("this process may use 0"), std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace grainfabric
