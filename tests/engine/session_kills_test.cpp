// SPDX-License-Identifier: Apache-2.0
// Peers killed at random moments, again and again: what is left of them at who survives?
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>

#include "session_child.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

/// What a process that leaks has more of with each peer.
struct Footprint {
  std::size_t descriptors = 0;
  std::size_t mappings = 0;  ///< Of shared memory.
  std::size_t resident = 0;  ///< Bytes.

  static Footprint now() {
    Footprint found;
    const std::filesystem::directory_iterator entries("/proc/self/fd");
    found.descriptors = static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      found.mappings += line.find("/memfd:") != std::string::npos ? 1 : 0;
    }
    std::ifstream status("/proc/self/statm");
    std::size_t pages = 0;
    status >> pages >> pages;
    found.resident = pages * kPageSize;
    return found;
  }
};

void expect_no_more(const Footprint& before) {
  // What is let go of by a posted task or a hung-up socket takes a moment.
  EXPECT_TRUE(eventually([&] {
    const Footprint now = Footprint::now();
    return now.descriptors <= before.descriptors && now.mappings <= before.mappings;
  })) << before.descriptors
      << " descriptors and " << before.mappings << " mappings before, now "
      << Footprint::now().descriptors << " and " << Footprint::now().mappings;
  if (kSlowdown == 1) {  // sanitizers keep what was freed
    EXPECT_LT(Footprint::now().resident, before.resident + (std::size_t{8} << 20U));
  }
}

class SessionKills : public testing::TestWithParam<const char*> {
 protected:
  /// A hundred on each side where nothing goes through the kernel that would clean up.
  int kills() const {
    if (std::string(GetParam()) != "local") return 6;
    return kSlowdown == 1 ? 100 : 15;
  }
  std::chrono::microseconds moment() {
    return std::chrono::microseconds(std::uniform_int_distribution(0, 40'000)(random_));
  }
  void SetUp() override {
    const auto here = transport::Table::shared().providers();
    if (std::find(here.begin(), here.end(), GetParam()) == here.end()) {
      GTEST_SKIP() << GetParam() << " is not on this host";
    }
    RecordProperty("seed", static_cast<int>(kSeed));
  }

 private:
  static constexpr unsigned kSeed = 20886;  // the moments are random enough by the scheduler
  std::mt19937 random_{kSeed};
};
INSTANTIATE_TEST_SUITE_P(Over, SessionKills, testing::Values("local", "tcp", "udp"), provider_name);

TEST_P(SessionKills, of_targets_leave_no_grain_uncounted_and_nothing_behind) {
  const std::uint16_t port = free_port();
  Sender sender(to(port, GetParam()));
  sender->start();
  Pushing pushing(sender, {20'000, 10, 1}, {.wait_for_peer = false}, 200us);
  Footprint before;
  for (int i = 0; i < kills(); ++i) {
    Child target("target", port, GetParam());
    ASSERT_EQ(target.line(), "up " + std::to_string(port)) << i;
    if (i % 4 == 0) {
      ASSERT_NE(target.line(), "") << "nothing arrives, after " << i << " kills";
    }
    std::this_thread::sleep_for(moment());
    target.kill();
    if (i == 4) before = Footprint::now();  // what is kept for all times is there by now
  }
  {
    Receiver receiver(with_provider(GetParam(), port));
    for (int n = 0; n < 10; ++n) {
      const auto grain = receiver.pop_grain();
      ASSERT_TRUE(grain);
      EXPECT_TRUE(is_whole(*grain));
    }
    pushing.stop();
    while (receiver.pop_grain(100ms)) {
    }
    EXPECT_TRUE(sender->drain(kPatience));
    const Stats stats = sender->stats();
    EXPECT_EQ(stats.grains + stats.dropped, sender.pushed);
    EXPECT_TRUE(eventually([&] { return sender.released == sender.accepted; }));
  }
  expect_no_more(before);
}

TEST_P(SessionKills, of_initiators_leave_no_slot_taken_and_nothing_behind) {
  Receiver receiver(with_provider(GetParam()));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> arrived{0};
  std::thread popper([&] {
    std::vector<IncomingGrain> held;  // some always are, also of those that are dead
    while (!stop) {
      auto grain = receiver.pop_grain(20ms);
      if (!grain) continue;
      ++arrived;
      held.push_back(std::move(*grain));
      if (held.size() > 3) held.erase(held.begin() + static_cast<long>(arrived % 3));
    }
  });
  Footprint before;
  for (int i = 0; i < kills(); ++i) {
    const std::uint64_t so_far = arrived;
    Child initiator("initiator", receiver->port(), GetParam());
    if (i % 4 == 0) {
      ASSERT_TRUE(eventually([&] { return arrived > so_far; })) << "after " << i << " kills";
    }
    std::this_thread::sleep_for(moment());
    initiator.kill();
    if (i == 4) before = Footprint::now();
  }
  {
    // The ring of the next one is whole.
    Sender sender(to(receiver, GetParam()));
    sender->start();
    ASSERT_TRUE(sender.push_many(50));
    EXPECT_TRUE(sender->drain(kPatience));
    stop = true;
    popper.join();
    sender->stop();
  }
  while (receiver.pop_grain(50ms)) {
  }
  expect_no_more(before);
}

TEST(SessionKillsLocal, of_a_target_that_was_not_told_of_memory_any_more_leave_nothing_behind) {
  { const Receiver first; }  // what is kept for all times is there by now
  const auto loop = std::make_shared<EventLoop>();
  const std::uint16_t port = free_port();
  Sender sender(to(port, "local"), loop);
  sender->start();
  const Footprint before = Footprint::now();
  {
    Child target("target", port, "local");
    ASSERT_EQ(target.line(), "up " + std::to_string(port));
    sender->reserve(20'000);
    ASSERT_TRUE(eventually([&] { return sender->stats().credits > 0; }));
    // The loop hears of the grain, the first from its memory, before it hears of the death.
    std::promise<void> killed;
    loop->post([killed = killed.get_future().share()] { killed.wait(); });
    ASSERT_EQ(sender.push({20'000, 10, 1}), PushResult::accepted);
    target.kill();
    killed.set_value();
    EXPECT_TRUE(sender.heard.wait_for(PeerChange::Kind::disconnected));
    EXPECT_TRUE(eventually([&] { return sender.released == sender.accepted; }));
  }
  expect_no_more(before);
}

}  // namespace
}  // namespace grainfabric
