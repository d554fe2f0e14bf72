// SPDX-License-Identifier: Apache-2.0
// Sessions that end and come back, and the account of every grain.
#include "cut.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

class SessionLoss : public OverProviders {};
OVER_PROVIDERS(SessionLoss);

TEST_P(SessionLoss, the_initiator_may_be_there_first) {
  const std::uint16_t port = free_port();
  Sender sender(to(port, GetParam()));
  sender->start();
  std::thread pusher([&] { EXPECT_TRUE(sender.push_many(2)); });
  std::this_thread::sleep_for(100ms);  // it has tried, and in vain
  Receiver receiver(with_provider(GetParam(), port));
  EXPECT_TRUE(next_is(receiver, 1));
  EXPECT_TRUE(next_is(receiver, 2));
  pusher.join();
  EXPECT_EQ(sender.heard.count(PeerChange::Kind::refused), 0U);  // no peer yet is no refusal
}

TEST_P(SessionLoss, after_each_cut_it_comes_back_and_every_grain_is_accounted_for) {
  Receiver receiver(with_provider(GetParam()));
  Sender sender(to(receiver, GetParam()));
  sender->start();
  Pushing pushing(sender, {20'000, 30, 1});
  std::uint64_t last = 0;
  std::uint64_t missing = 0;
  std::size_t sessions = 0;
  const auto take = [&](std::chrono::milliseconds limit) {
    const auto grain = receiver.pop_grain(limit);
    if (!grain) return false;
    EXPECT_TRUE(is_whole(*grain));
    EXPECT_GT(grain->info.sequence, last);
    EXPECT_TRUE(grain->discont || grain->info.sequence == last + 1);
    sessions += grain->discont ? 1 : 0;
    missing += grain->info.sequence - last - 1;
    last = grain->info.sequence;
    return true;
  };
  constexpr std::size_t kCuts = 8;
  for (std::size_t i = 1; i <= kCuts; ++i) {
    for (int n = 0; n < 25; ++n) ASSERT_TRUE(take(kPatience));
    ASSERT_EQ(cut(receiver->port()), 1);
    while (sessions <= i) ASSERT_TRUE(take(kPatience));
  }
  pushing.stop([&] { take(10ms); });
  ASSERT_TRUE(sender->drain(kPatience));
  while (take(0ms)) {
  }
  EXPECT_EQ(sender->stats().grains, sender.accepted);
  EXPECT_EQ(sender->stats().grains, receiver->stats().grains + sender->stats().lost);
  EXPECT_EQ(last, sender.accepted);
  EXPECT_EQ(missing, sender->stats().lost);
  EXPECT_EQ(receiver->stats().lost, sender->stats().lost);
  EXPECT_EQ(sender->stats().reconnects, kCuts);
  EXPECT_EQ(receiver->stats().reconnects, kCuts);
  EXPECT_EQ(sender.heard.count(PeerChange::Kind::disconnected), kCuts);
}

TEST_P(SessionLoss, a_target_that_restarts_gets_the_stream_and_every_grain_is_accounted_for) {
  auto receiver = std::make_unique<Receiver>(with_provider(GetParam()));
  const std::uint16_t port = (*receiver)->port();
  Sender sender(to(port, GetParam()));
  sender->start();
  std::uint64_t delivered = 0;
  for (int life = 0; life < 5; ++life) {
    // All slots held: all that was accepted is delivered, and no more is under way.
    std::vector<IncomingGrain> held;
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(sender.push({70'000, 10, 1}), PushResult::accepted);
      auto grain = receiver->pop_grain();
      ASSERT_TRUE(grain);
      EXPECT_EQ(grain->discont, i == 0);
      EXPECT_EQ(grain->info.sequence, sender.accepted);
      held.push_back(std::move(*grain));
    }
    delivered += (*receiver)->stats().grains;
    receiver.reset();
    for (const IncomingGrain& grain : held) EXPECT_TRUE(is_whole(grain));
    receiver = std::make_unique<Receiver>(with_provider(GetParam(), port));
  }
  ASSERT_TRUE(receiver->heard.wait_for(PeerChange::Kind::connected));
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected, 6));
  EXPECT_EQ(sender->stats().grains, delivered);
  EXPECT_EQ(sender->stats().lost, 0U);
}

TEST_P(SessionLoss, a_target_that_goes_in_mid_stream_leaves_no_grain_uncounted) {
  const std::uint16_t port = free_port();
  Sender sender(to(port, GetParam()));
  sender->start();
  Pushing pushing(sender, {100'000, 10, 1}, {.wait_for_peer = false});
  std::uint64_t popped = 0;
  constexpr int kLives = 6;
  for (int life = 0; life < kLives; ++life) {
    Receiver receiver(with_provider(GetParam(), port));
    for (int i = 0; i < 10 + life; ++i) {
      const auto grain = receiver.pop_grain();
      ASSERT_TRUE(grain);
      EXPECT_TRUE(is_whole(*grain));
      EXPECT_EQ(grain->discont, i == 0);
      ++popped;
    }
  }
  pushing.stop();
  sender->stop();
  const Stats stats = sender->stats();
  EXPECT_EQ(stats.grains, sender.accepted);
  EXPECT_EQ(stats.grains + stats.dropped, sender.pushed);
  // What arrived was popped, or was still waiting to be when its target went.
  EXPECT_GE(stats.grains - stats.lost, popped);
  EXPECT_LE(stats.grains - stats.lost, popped + kLives * 4);
}

TEST_P(SessionLoss, a_new_initiator_follows_the_one_that_is_gone) {
  Receiver receiver(with_provider(GetParam()));
  std::vector<IncomingGrain> held;
  for (int life = 0; life < 5; ++life) {
    Sender sender(to(receiver, GetParam()));
    sender->start();
    for (std::uint64_t i = 1; i <= 3; ++i) {
      ASSERT_EQ(sender.push(), PushResult::accepted);
      auto grain = receiver.pop_grain();
      ASSERT_TRUE(grain);
      EXPECT_EQ(grain->discont, i == 1);
      EXPECT_EQ(grain->info.sequence, i);
      EXPECT_TRUE(is_whole(*grain));
      held.push_back(std::move(*grain));  // beyond the end of its session
    }
  }
  for (const IncomingGrain& grain : held) EXPECT_TRUE(is_whole(grain));
  EXPECT_EQ(receiver->stats().reconnects, 4U);
  EXPECT_EQ(receiver->stats().grains, 15U);
}

TEST(SessionLossOnce, a_second_initiator_is_refused_until_the_first_has_gone) {
  Receiver receiver;
  auto first = std::make_unique<Sender>(to(receiver));
  (*first)->start();
  ASSERT_TRUE(first->heard.wait_for(PeerChange::Kind::connected));
  Sender second(to(receiver));
  second->start();
  ASSERT_TRUE(second.heard.wait_for(PeerChange::Kind::refused));
  EXPECT_NE(second.heard.changes(PeerChange::Kind::refused)[0].reason.find("serves"),
            std::string::npos);
  ASSERT_TRUE(receiver.heard.wait_for(PeerChange::Kind::refused));
  EXPECT_GE(receiver->stats().refused, 1U);
  EXPECT_EQ(first->push(), PushResult::accepted);  // it has not been disturbed
  EXPECT_TRUE(next_is(receiver, 1));
  first.reset();
  ASSERT_TRUE(second.heard.wait_for(PeerChange::Kind::connected));
  EXPECT_EQ(second.push(), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 1));
  EXPECT_TRUE(second.heard.failures().empty());
}

TEST(SessionLossOnce, the_same_complaint_is_made_once_not_at_every_attempt) {
  Receiver receiver;
  Sender first(to(receiver));
  first->start();
  ASSERT_TRUE(first.heard.wait_for(PeerChange::Kind::connected));
  Sender second(to(receiver));
  second->start();
  ASSERT_TRUE(eventually([&] { return receiver->stats().refused >= 4; }));
  EXPECT_EQ(second.heard.count(PeerChange::Kind::refused), 1U);
}

TEST(SessionLossOnce, sticky_events_come_again_others_do_not) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender.push_event("early");  // before there is a session: kept for it
  sender.push_event("stream-start", true);
  sender->start();
  sender.push_event("caps", true);
  EXPECT_EQ(receiver.pop_event(), "early");
  EXPECT_EQ(receiver.pop_event(), "stream-start");
  EXPECT_EQ(receiver.pop_event(), "caps");
  sender.push_event("gap");
  sender.push_event("caps", true);
  EXPECT_EQ(receiver.pop_event(), "gap");
  EXPECT_EQ(receiver.pop_event(), "caps");
  ASSERT_EQ(cut(receiver->port()), 1);
  EXPECT_EQ(receiver.pop_event(), "stream-start");
  EXPECT_EQ(receiver.pop_event(), "caps");
  ASSERT_EQ(sender.push(), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 1));
  sender->forget_event("caps");
  ASSERT_EQ(cut(receiver->port()), 1);
  ASSERT_TRUE(receiver.heard.wait_for(PeerChange::Kind::connected, 3));
  EXPECT_EQ(receiver.pop_event(), "stream-start");
  ASSERT_EQ(sender.push(), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 2));
  sender->forget_events();
  ASSERT_EQ(cut(receiver->port()), 1);
  ASSERT_TRUE(receiver.heard.wait_for(PeerChange::Kind::connected, 4));
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected, 4));
  ASSERT_EQ(sender.push(), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 3));
}

TEST(SessionLossOnce, a_flush_of_the_target_keeps_what_is_sticky_and_drops_the_rest) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  sender.push_event("stream-start", true);
  sender.push_event("gap");
  ASSERT_EQ(sender.push(), PushResult::accepted);
  ASSERT_TRUE(sender->drain(kPatience));
  receiver->set_flushing(true);
  sender.push_event("caps", true);
  sender.push_event("gap");
  ASSERT_EQ(sender.push(), PushResult::accepted);
  ASSERT_TRUE(sender->drain(kPatience));
  receiver->set_flushing(false);
  ASSERT_EQ(sender.push(), PushResult::accepted);
  EXPECT_EQ(receiver.pop_event(), "stream-start");
  EXPECT_EQ(receiver.pop_event(), "caps");
  EXPECT_TRUE(next_is(receiver, 3));
}

TEST(SessionLossOnce, an_event_that_waits_for_room_goes_with_the_next_session) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected));
  for (std::uint64_t i = 0; i < protocol::kEventWindow; ++i) sender.push_event("e");
  std::thread pusher([&] { sender.push_event("patient"); });
  std::this_thread::sleep_for(50ms);
  ASSERT_EQ(cut(receiver->port()), 1);
  pusher.join();
  std::string last;
  while (last != "patient") {
    last = receiver.pop_event();
    ASSERT_TRUE(last == "e" || last == "patient") << last;
  }
}

TEST(SessionLossOnce, without_auto_reconnect_the_first_loss_is_the_end) {
  Receiver receiver;
  InitiatorOptions options = to(receiver);
  options.auto_reconnect = false;
  Sender sender(options);
  sender->start();
  ASSERT_EQ(sender.push(), PushResult::accepted);
  ASSERT_TRUE(next_is(receiver, 1));
  receiver.end();
  ASSERT_TRUE(sender.heard.wait_for_failure());
  EXPECT_EQ(sender.heard.failures()[0].code(), ErrorCode::disconnected);
  EXPECT_EQ(sender.push(), PushResult::failed);
  EXPECT_EQ(sender.heard.failures().size(), 1U);
}

TEST(SessionLossOnce, without_auto_reconnect_it_still_waits_for_the_first_session) {
  InitiatorOptions options = to(free_port());
  options.auto_reconnect = false;
  Sender sender(options);
  sender->start();
  std::this_thread::sleep_for(100ms);
  Receiver receiver(local(options.port));
  EXPECT_EQ(sender.push(), PushResult::accepted);
  EXPECT_TRUE(sender.heard.failures().empty());
}

TEST(SessionLossOnce, no_peer_within_the_connect_timeout_is_a_failure) {
  InitiatorOptions options = to(free_port());
  options.connect_timeout = 150ms;
  Sender sender(options);
  EXPECT_GE(time_of([&] {
              sender->start();
              EXPECT_EQ(sender.push(), PushResult::failed);
            }),
            140ms);
  ASSERT_TRUE(sender.heard.wait_for_failure());
  EXPECT_EQ(sender.heard.failures()[0].code(), ErrorCode::timed_out);
  EXPECT_NE(sender.heard.failures()[0].failure().find("127.0.0.1:"), std::string::npos);
}

TEST(SessionLossOnce, the_connect_timeout_counts_again_after_a_loss) {
  Receiver receiver;
  InitiatorOptions options = to(receiver);
  options.connect_timeout = 300ms * kSlowdown;
  Sender sender(options);
  sender->start();
  ASSERT_EQ(sender.push(), PushResult::accepted);
  std::this_thread::sleep_for(options.connect_timeout + 100ms);  // a session stops the clock
  EXPECT_TRUE(sender.heard.failures().empty());
  receiver.end();
  ASSERT_TRUE(sender.heard.wait_for_failure());
  EXPECT_EQ(sender.heard.failures()[0].code(), ErrorCode::timed_out);
}

}  // namespace
}  // namespace grainfabric
