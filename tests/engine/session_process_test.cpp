// SPDX-License-Identifier: Apache-2.0
// Peers in other processes that are killed, frozen, or never say anything.
#include <set>

#include "raw_peer.hpp"
#include "session/protocol.hpp"
#include "session_child.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using protocol::Type;
using PushResult = Initiator::PushResult;

class SessionProcess : public OverProviders {};
OVER_PROVIDERS(SessionProcess);

TEST_P(SessionProcess, a_target_killed_in_mid_stream_again_and_again_leaves_no_grain_uncounted) {
  const std::uint16_t port = free_port();
  Sender sender(to(port, GetParam()));
  sender->start();
  Pushing pushing(sender, {50'000, 10, 1}, {.wait_for_peer = false});
  std::set<std::uint64_t> arrived;
  std::uint64_t last = 0;
  const auto take = [&](const std::string& line, bool first) {
    unsigned long long sequence = 0;
    int discont = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "grain %llu %d", &sequence, &discont), 2) << line;
    EXPECT_EQ(discont, first ? 1 : 0);
    EXPECT_TRUE(arrived.insert(sequence).second) << sequence << " came twice";
    EXPECT_GT(sequence, last);
    last = sequence;
  };
  const int kills = std::string(GetParam()) == "tcp" ? 20 : 4;
  for (int i = 0; i < kills; ++i) {
    Child target("target", port, GetParam());
    ASSERT_EQ(target.line(), "up " + std::to_string(port));
    bool first = true;
    for (int n = 0; n < 5 + i; ++n) {
      ASSERT_NO_FATAL_FAILURE(take(target.line(), std::exchange(first, false)));
    }
    target.kill();
    for (std::string line; !(line = target.line(0ms)).empty();) {
      ASSERT_NO_FATAL_FAILURE(take(line, false));
    }
  }
  // The last one lives, so that everything after the last kill arrives.
  Receiver receiver(with_provider(GetParam(), port));
  for (int n = 0; n < 10; ++n) {
    const auto grain = receiver.pop_grain();
    ASSERT_TRUE(grain);
    EXPECT_TRUE(is_whole(*grain));
    EXPECT_EQ(grain->discont, n == 0);
    EXPECT_TRUE(arrived.insert(grain->info.sequence).second);
  }
  pushing.stop([&] {
    if (const auto grain = receiver.pop_grain(10ms)) arrived.insert(grain->info.sequence);
  });
  ASSERT_TRUE(sender->drain(kPatience));
  while (const auto grain = receiver.pop_grain(0ms)) arrived.insert(grain->info.sequence);
  const Stats stats = sender->stats();
  EXPECT_EQ(stats.grains, sender.accepted);
  EXPECT_EQ(stats.grains + stats.dropped, sender.pushed);
  EXPECT_EQ(stats.reconnects, static_cast<std::uint64_t>(kills));
  // A kill takes what was in the ring: some of it acknowledged and not printed yet, the rest lost.
  const auto slack = static_cast<std::uint64_t>(kills) * 4;
  EXPECT_LE(stats.lost, slack);
  EXPECT_LE(arrived.size(), stats.grains);
  EXPECT_LE(stats.grains - stats.lost, arrived.size() + slack);
  EXPECT_GE(stats.grains - stats.lost + slack, arrived.size());
}

TEST_P(SessionProcess, an_initiator_killed_in_mid_stream_is_followed_by_the_next) {
  Receiver receiver(with_provider(GetParam()));
  for (std::size_t life = 1; life <= 4; ++life) {
    Child initiator("initiator", receiver->port(), GetParam());
    for (std::uint64_t n = 1; n <= 10; ++n) {
      auto grain = receiver.pop_grain();
      // What the one before had sent is delivered first.
      while (grain && n == 1 && !grain->discont) grain = receiver.pop_grain();
      ASSERT_TRUE(grain) << life;
      EXPECT_EQ(grain->info.sequence, n);
      EXPECT_EQ(grain->discont, n == 1);
    }
    initiator.kill();
    ASSERT_TRUE(receiver.heard.wait_for(PeerChange::Kind::disconnected, life));
    EXPECT_FALSE(receiver.heard.changes(PeerChange::Kind::disconnected).back().orderly);
  }
}

/// Each takes as long as a silent peer is waited for, so both sides are frozen at once.
TEST(Silence, a_frozen_peer_is_dead_in_time_and_comes_back_when_it_thaws) {
  Child target("target", 0, plain_provider());
  const std::string up = target.line();
  ASSERT_EQ(up.rfind("up ", 0), 0U) << up;
  Sender sender(to(static_cast<std::uint16_t>(std::atoi(up.c_str() + 3))));
  sender->start();
  Receiver receiver;
  Child initiator("initiator", receiver->port(), plain_provider());
  ASSERT_EQ(sender.push(), PushResult::accepted);
  ASSERT_EQ(target.line(), "grain 1 1");
  ASSERT_TRUE(sender->drain(kPatience));  // a credit that the frost holds back is a lost grain
  ASSERT_TRUE(receiver.pop_grain());

  const auto begin = std::chrono::steady_clock::now();
  target.freeze();
  initiator.freeze();
  ASSERT_EQ(sender.push(), PushResult::accepted);  // it will never arrive
  const auto limit = protocol::kSilence + 4 * protocol::kHeartbeat + 1s * kSlowdown;
  EXPECT_TRUE(sender.heard.wait_for(PeerChange::Kind::disconnected, 1, limit));
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_TRUE(receiver.heard.wait_for(PeerChange::Kind::disconnected, 1, 2s * kSlowdown));
  EXPECT_GE(took, protocol::kSilence - 2 * protocol::kHeartbeat);
  EXPECT_FALSE(sender.heard.changes(PeerChange::Kind::disconnected)[0].orderly);
  EXPECT_EQ(sender.push({}, {.wait_for_peer = false}), PushResult::dropped);
  EXPECT_EQ(sender->stats().lost, 1U);

  target.thaw();
  initiator.thaw();
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected, 2, 3 * kPatience));
  ASSERT_TRUE(receiver.heard.wait_for(PeerChange::Kind::connected, 2, 3 * kPatience));
  ASSERT_EQ(sender.push(), PushResult::accepted);
  while (const auto grain = receiver.pop_grain()) {
    if (grain->discont) break;
  }
  for (std::string line = target.line();
       line.find(" 1") == std::string::npos || line.rfind("grain", 0) != 0; line = target.line()) {
    ASSERT_FALSE(line.empty());
  }
}

TEST(Silence, whoever_says_nothing_or_no_more_is_given_up_in_time) {
  constexpr auto kLimit = protocol::kSilence + 4 * protocol::kHeartbeat + 1s * kSlowdown;
  Receiver receiver;
  RawPeer mute(receiver->port());       // connects and says nothing
  RawPeer trickling(receiver->port());  // a byte of a frame now and then
  protocol::Hello hello;
  hello.stream = hello.instance = Token::random();
  hello.offers = {plain_provider()};
  RawPeer greeting(receiver->port());  // says HELLO and then nothing
  greeting.say(number(Type::hello), hello.encode());
  RawListener listener;  // accepts and never answers HELLO
  Sender sender(to(listener.port()));
  sender->start();
  auto silent = listener.accept();
  ASSERT_TRUE(silent);
  std::atomic<bool> stop{false};
  std::thread trickle([&] {
    for (std::byte byte : bytes_of("GFC1\1\0\0\0")) {
      if (stop || !trickling.say(std::span(&byte, 1))) return;
      std::this_thread::sleep_for(700ms);
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(mute.is_closed(kLimit));
  EXPECT_TRUE(greeting.is_closed(kLimit));
  EXPECT_TRUE(sender.heard.wait_for(PeerChange::Kind::refused, 1, kLimit));
  EXPECT_NE(sender.heard.changes(PeerChange::Kind::refused)[0].reason.find("does not answer HELLO"),
            std::string::npos);
  EXPECT_TRUE(receiver.heard.wait_for(PeerChange::Kind::refused, 2, kLimit));
  EXPECT_TRUE(receiver.heard.wait_for(PeerChange::Kind::disconnected, 1, kLimit));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kLimit);
  stop = true;
  trickle.join();
  EXPECT_TRUE(trickling.is_closed(1s));
  EXPECT_TRUE(listener.accept());  // and the initiator tries again
}

}  // namespace
}  // namespace grainfabric
