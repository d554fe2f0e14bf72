// SPDX-License-Identifier: Apache-2.0
// Back pressure: what a push waits for, what it does instead, and what breaks the wait.
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;
constexpr std::size_t kSlots = 4;  // of test::to()

/// Long enough that a push which does not wait would have returned.
constexpr auto kWhile = 50ms;

class SessionCredit : public PairOverProviders {
 protected:
  /// Takes and keeps as many grains as there are slots.
  void hold_all() {
    for (std::size_t i = 0; i < kSlots; ++i) {
      ASSERT_EQ(sender_->push(), PushResult::accepted);
      auto grain = receiver_->pop_grain();
      ASSERT_TRUE(grain);
      held_.push_back(std::move(*grain));
    }
  }

  std::vector<IncomingGrain> held_;
};
OVER_PROVIDERS(SessionCredit);

TEST_P(SessionCredit, a_target_that_holds_all_slots_stops_the_sender_and_a_release_resumes_it) {
  hold_all();
  EXPECT_EQ((*sender_)->stats().credits, 0U);
  std::atomic<std::uint64_t> done{0};
  std::thread pusher([&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(sender_->push(), PushResult::accepted);
      ++done;
    }
  });
  std::this_thread::sleep_for(kWhile);
  EXPECT_EQ(done, 0U);
  EXPECT_EQ((*sender_)->stats().grains, kSlots);
  held_.erase(held_.begin() + 2);  // in whatever order
  ASSERT_TRUE(eventually([&] { return done == 1; }));
  auto fifth = receiver_->pop_grain();
  ASSERT_TRUE(fifth);
  std::this_thread::sleep_for(kWhile);
  EXPECT_EQ(done, 1U);
  for (const IncomingGrain& grain : held_) EXPECT_TRUE(is_whole(grain));
  held_.clear();
  fifth.reset();
  EXPECT_TRUE(next_is(*receiver_, 6));
  EXPECT_TRUE(next_is(*receiver_, 7));
  pusher.join();
  EXPECT_EQ((*sender_)->stats().lost + (*sender_)->stats().dropped, 0U);
  EXPECT_TRUE(eventually([&] { return (*sender_)->stats().credits == kSlots; }));
  EXPECT_EQ((*receiver_)->stats().credits, kSlots);
}

TEST_P(SessionCredit, a_leaky_sender_never_waits_and_counts_what_it_drops) {
  hold_all();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(sender_->push({}, {.wait_for_credit = false}), PushResult::dropped);
  }
  const Stats stats = (*sender_)->stats();
  EXPECT_EQ(stats.dropped, 10U);
  EXPECT_EQ(stats.grains, kSlots);
  held_.clear();
  ASSERT_TRUE(eventually([&] { return (*sender_)->stats().credits > 0; }));
  EXPECT_EQ(sender_->push({}, {.wait_for_credit = false}), PushResult::accepted);
  const auto grain = receiver_->pop_grain();
  ASSERT_TRUE(grain);
  EXPECT_EQ(grain->info.pts, kSlots + 11);
  EXPECT_EQ(grain->info.sequence, kSlots + 1);  // what was dropped leaves no gap
  EXPECT_FALSE(grain->discont);
  EXPECT_EQ((*receiver_)->stats().lost, 0U);
}

TEST_P(SessionCredit, flushing_breaks_the_wait_for_a_credit) {
  hold_all();
  std::atomic<bool> waiting{true};
  std::chrono::steady_clock::time_point returned;
  std::thread pusher([&] {
    EXPECT_EQ(sender_->push(), PushResult::flushing);
    returned = std::chrono::steady_clock::now();
    waiting = false;
  });
  std::this_thread::sleep_for(kWhile);
  EXPECT_TRUE(waiting);
  const auto begin = std::chrono::steady_clock::now();
  (*sender_)->set_flushing(true);
  pusher.join();
  EXPECT_LT(returned - begin, kAtOnce);
  EXPECT_EQ(sender_->push(), PushResult::flushing);
  (*sender_)->set_flushing(false);
  held_.clear();
  EXPECT_EQ(sender_->push(), PushResult::accepted);
  EXPECT_TRUE(next_is(*receiver_, kSlots + 1));
}

TEST_P(SessionCredit, the_end_of_the_target_turns_a_wait_for_credit_into_one_for_a_peer) {
  hold_all();
  std::thread pusher([&] { EXPECT_EQ(sender_->push(), PushResult::accepted); });
  const std::uint16_t port = (*receiver_)->port();
  receiver_->end();
  Receiver second(with_provider(GetParam(), port));
  EXPECT_TRUE(next_is(second, kSlots + 1));
  pusher.join();
  for (const IncomingGrain& grain : held_) EXPECT_TRUE(is_whole(grain));
}

// What does not depend on the provider.

TEST(Waits, flushing_breaks_the_wait_for_a_peer) {
  Sender sender(to(free_port()));
  sender->start();
  std::thread pusher([&] { EXPECT_EQ(sender.push(), PushResult::flushing); });
  std::this_thread::sleep_for(kWhile);
  EXPECT_LT(time_of([&] {
              sender->set_flushing(true);
              pusher.join();
            }),
            kAtOnce);
}

TEST(Waits, without_a_peer_a_sender_may_drop_instead) {
  Sender sender(to(free_port()));
  sender->start();
  EXPECT_EQ(sender.push({}, {.wait_for_peer = false}), PushResult::dropped);
  EXPECT_EQ(sender.push({}, {.wait_for_credit = false}), PushResult::dropped);
  EXPECT_EQ(sender->stats().dropped, 2U);
  EXPECT_EQ(sender->stats().grains + sender->stats().lost, 0U);
}

TEST(Waits, flushing_breaks_pop_at_once_and_what_waited_is_gone) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  std::thread popper([&] { EXPECT_FALSE(receiver->pop(kPatience)); });
  std::this_thread::sleep_for(kWhile);
  EXPECT_LT(time_of([&] {
              receiver->set_flushing(true);
              popper.join();
            }),
            kAtOnce);
  // While it flushes nothing is kept, and credits go back: the sender goes on.
  ASSERT_TRUE(sender.push_many(20));
  sender.push_event("unheard");
  EXPECT_TRUE(sender->drain(kPatience));
  EXPECT_FALSE(receiver->pop(0ms));
  receiver->set_flushing(false);
  ASSERT_TRUE(sender.push_many(1));
  EXPECT_TRUE(next_is(receiver, 21));
  EXPECT_EQ(receiver->stats().grains, 21U);
}

TEST(Waits, pop_returns_with_nothing_when_its_time_is_over) {
  Receiver receiver;
  EXPECT_GE(time_of([&] { EXPECT_FALSE(receiver->pop(30ms)); }), 29ms);
}

TEST(Waits, drain_without_a_session_does_not_wait) {
  Sender sender(to(free_port()));
  sender->start();
  EXPECT_LT(time_of([&] { EXPECT_FALSE(sender->drain(kPatience)); }), kAtOnce);
}

TEST(Waits, events_wait_for_a_target_that_takes_none_and_flushing_breaks_that_too) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  ASSERT_TRUE(receiver.heard.wait_for(PeerChange::Kind::connected));
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected));
  for (std::uint64_t i = 0; i < protocol::kEventWindow; ++i) sender.push_event("e");
  EXPECT_EQ(sender->push_event({"one more", false, {}}, {.wait_for_credit = false}),
            PushResult::dropped);
  std::thread pusher([&] {
    EXPECT_EQ(sender->push_event({"one more", false, {}}, {}), PushResult::flushing);
  });
  std::this_thread::sleep_for(kWhile);
  EXPECT_LT(time_of([&] {
              sender->set_flushing(true);
              pusher.join();
            }),
            kAtOnce);
  sender->set_flushing(false);
  for (std::uint64_t i = 0; i < protocol::kEventWindow; ++i) EXPECT_EQ(receiver.pop_event(), "e");
  sender.push_event("after");  // the window opens as they are taken
  EXPECT_EQ(receiver.pop_event(), "after");
}

TEST(Waits, a_flood_of_events_flows_through_a_target_that_takes_them) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected));
  std::thread pusher([&] {
    for (int i = 0; i < 3000; ++i) sender.push_event(std::to_string(i));
  });
  for (int i = 0; i < 3000; ++i) ASSERT_EQ(receiver.pop_event(), std::to_string(i));
  pusher.join();
}

TEST(Waits, the_target_may_decide_the_length_of_the_ring) {
  TargetOptions options = local();
  options.slots = 7;
  Receiver receiver(options);
  Sender sender(to(receiver));
  sender->start();
  sender->reserve(1000);
  EXPECT_TRUE(eventually([&] { return sender->stats().credits == 7; }));
  EXPECT_EQ(sender->stats().slots, 7U);
  EXPECT_EQ(receiver->stats().slots, 7U);
}

}  // namespace
}  // namespace grainfabric
