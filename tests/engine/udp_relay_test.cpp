// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>

#include "patience.hpp"
#include "transport_pair.hpp"
#include "udp_relay.hpp"

/// The udp transport across a network that loses, doubles, delays and reorders.
namespace grainfabric::transport {
namespace {

using test::kPatience;
using test::UdpRelay;
using test::Weather;

/// Both ends with a relay between them.
struct Weathered : Pair {
  std::unique_ptr<UdpRelay> relay;

  explicit Weathered(const Weather& weather) : Pair({"udp", "127.0.0.1"}) {
    listen();
    relay = std::make_unique<UdpRelay>(target->address(), weather);
    initiator = initiator_domain->connect(relay->address(), token, initiator_events);
    loop.add(*initiator);
  }
  bool connect() {
    return loop.run_until(
        [&] { return initiator_events.connected == 1 && target_events.connected == 1; }, kPatience);
  }
};

class UdpWeather : public testing::TestWithParam<Weather> {};

TEST_P(UdpWeather, every_write_arrives_once_in_order_and_bit_exact) {
  Weathered pair(GetParam());
  ASSERT_TRUE(pair.connect());
  constexpr std::size_t kSlot = 60'000;
  constexpr std::size_t kSlots = 4;
  constexpr std::uint32_t kGrains = 40;
  Registered ring(*pair.target_domain, kSlot * kSlots, Access::remote);
  Registered credit(*pair.initiator_domain, 8, Access::remote);
  // Each grain in two writes of which only the second tells; its slot is written again once its
  // credit is back, so that anything late or doubled would be seen in the next grain.
  std::vector<std::vector<std::byte>> grains;
  for (std::uint32_t i = 0; i < kGrains; ++i) {
    grains.emplace_back(kSlot - i * 37 % 1000);
    for (std::size_t at = 0; at < grains.back().size(); ++at) {
      grains.back()[at] = static_cast<std::byte>((at * 131 + at / 251 + i * 77) & 0xff);
    }
  }
  int torn = 0;
  pair.target_events.when_immediate = [&](std::uint32_t number) {
    const auto& grain = grains.at(number);
    const auto at = ring.bytes.begin() + static_cast<std::ptrdiff_t>(number % kSlots * kSlot);
    torn += std::equal(grain.begin(), grain.end(), at) ? 0 : 1;
    std::fill(at, at + kSlot, std::byte{0});
    EXPECT_EQ(pair.target->inject_write(as_message("creditXY"), credit.remote().address,
                                        credit.remote().key, number),
              Posted::ok);
  };
  std::uint32_t sent = 0;
  const auto feed = [&] {
    while (sent < kGrains && sent < pair.initiator_events.immediates.size() + kSlots) {
      const auto& grain = grains[sent];
      const std::uint64_t to = ring.remote().address + sent % kSlots * kSlot;
      const LocalPiece first[] = {{grain.data(), 1001, nullptr}};
      const LocalPiece rest[] = {{grain.data() + 1001, 7, nullptr},
                                 {grain.data() + 1008, grain.size() - 1008, nullptr}};
      ASSERT_EQ(pair.initiator->write(first, to, ring.remote().key, {}, 2 * sent), Posted::ok);
      ASSERT_EQ(pair.initiator->write(rest, to + 1001, ring.remote().key, sent, 2 * sent + 1),
                Posted::ok);
      ++sent;
    }
  };
  feed();
  EXPECT_TRUE(pair.loop.run_until(
      [&] {
        feed();
        return pair.initiator_events.immediates.size() >= kGrains &&
               pair.initiator_events.completed.size() >= std::size_t{2} * kGrains;
      },
      3 * kPatience))
      << pair.initiator_events.immediates.size() << " grains of " << kGrains << ", "
      << pair.relay->lost() << " datagrams lost";
  std::vector<std::uint32_t> in_order(kGrains);
  std::iota(in_order.begin(), in_order.end(), 0U);
  EXPECT_EQ(pair.target_events.immediates, in_order);
  EXPECT_EQ(pair.initiator_events.immediates, in_order);
  EXPECT_EQ(torn, 0);
  EXPECT_TRUE(pair.initiator_events.closed.empty());
  EXPECT_TRUE(pair.target_events.closed.empty());
}

TEST_P(UdpWeather, messages_and_reads_survive_it_too) {
  Weathered pair(GetParam());
  ASSERT_TRUE(pair.connect());
  Registered there(*pair.target_domain, 200'000, Access::remote);
  Registered here(*pair.initiator_domain, 200'000, Access::local);
  there.fill(9);
  ASSERT_EQ(pair.initiator->read(here.piece(0, 200'000), there.remote().address, there.remote().key,
                                 1000),
            Posted::ok);
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < 100; ++i) {
    texts.emplace_back(1 + i * 977 % 4096, static_cast<char>('a' + i % 26));
  }
  std::size_t forth = 0;
  std::size_t back = 0;
  EXPECT_TRUE(pair.loop.run_until(
      [&] {
        while (forth < texts.size() &&
               pair.initiator->send(as_message(texts[forth]), forth) == Posted::ok) {
          ++forth;
        }
        while (back < texts.size() &&
               pair.target->send(as_message(texts[back]), back) == Posted::ok) {
          ++back;
        }
        return pair.target_events.messages.size() >= texts.size() &&
               pair.initiator_events.messages.size() >= texts.size() &&
               pair.initiator_events.completed.size() > texts.size();
      },
      3 * kPatience));
  EXPECT_EQ(pair.target_events.messages, texts);
  EXPECT_EQ(pair.initiator_events.messages, texts);
  EXPECT_EQ(here.bytes, there.bytes);
}

INSTANTIATE_TEST_SUITE_P(Over, UdpWeather,
                         testing::Values(Weather{"fine"}, Weather{"small", 0, 0, 0, 1472},
                                         Weather{"loss_1", 1, 0, 0, 1472, 2},
                                         Weather{"loss_10", 10, 0, 0, 1472, 3},
                                         Weather{"loss_1_long_datagrams", 1, 0, 0, 65'507, 4},
                                         Weather{"doubled", 0, 30, 0, 9000, 5},
                                         Weather{"reordered", 0, 0, 50, 1472, 6},
                                         Weather{"all_at_once", 5, 5, 50, 9000, 7}),
                         [](const auto& weather) { return std::string(weather.param.name); });

TEST(UdpRelay, a_path_that_becomes_narrow_carries_on) {
  Weathered pair(Weather{});
  ASSERT_TRUE(pair.connect());
  constexpr std::size_t kSize = 1'000'000;
  Registered ring(*pair.target_domain, kSize, Access::remote);
  Registered source(*pair.initiator_domain, kSize, Access::local);
  const LocalPiece all[] = {source.piece(0, kSize)};
  const auto write = [&](std::uint32_t number) {
    source.fill(number);
    EXPECT_EQ(pair.initiator->write(all, ring.remote().address, ring.remote().key, number, number),
              Posted::ok);
    return pair.loop.run_until([&] { return pair.target_events.immediates.size() == number; },
                               kPatience);
  };
  ASSERT_TRUE(write(1));
  pair.relay->shrink(1400);
  EXPECT_TRUE(write(2));
  EXPECT_EQ(ring.bytes, source.bytes);
}

TEST(UdpRelay, a_peer_that_falls_silent_is_given_up_in_time) {
  Weathered pair(Weather{});
  ASSERT_TRUE(pair.connect());
  pair.loop.run_for(20ms);
  pair.relay->cut();
  const auto start = TestClock::now();
  ASSERT_TRUE(pair.loop.run_until(
      [&] { return !pair.initiator_events.closed.empty() && !pair.target_events.closed.empty(); },
      6500ms));
  EXPECT_GT(TestClock::now() - start, 3s);
  EXPECT_EQ(pair.initiator_events.closed[0].code(), ErrorCode::timed_out);
  EXPECT_FALSE(pair.initiator_events.closed[0].remedy().empty());
}

TEST(UdpRelay, a_peer_that_is_killed_behind_long_datagrams_is_soon_known_to_be_gone) {
  Weathered pair(Weather{});
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 60'000, Access::remote);
  Registered source(*pair.initiator_domain, 60'000, Access::local);
  const LocalPiece all[] = {source.piece(0, 60'000)};
  for (std::uint32_t number = 1; number <= 3; ++number) {  // the last in one datagram
    ASSERT_EQ(pair.initiator->write(all, ring.remote().address, ring.remote().key, number, number),
              Posted::ok);
    ASSERT_TRUE(pair.loop.run_until([&] { return pair.target_events.immediates.size() == number; },
                                    kPatience));
    pair.loop.run_for(20ms);
  }
  pair.relay.reset();  // nobody has its ports any more
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.target_events.closed.empty(); }, 6500ms));
  EXPECT_EQ(pair.target_events.closed[0].code(), ErrorCode::disconnected);
}

}  // namespace
}  // namespace grainfabric::transport
