// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "transport/udp/congestion.hpp"
#include "transport/udp/path_size.hpp"
#include "transport/udp/ranges.hpp"
#include "transport/udp/sent_packets.hpp"

/// What the udp transport knows of the network, on a clock of the test's own.
namespace grainfabric::transport::udp {
namespace {

const TimePoint kStart = TimePoint{} + 1000s;

TEST(UdpRanges, agree_with_a_plain_set_of_numbers) {
  std::mt19937 random(1);
  Ranges ranges;
  std::set<std::uint64_t> plain;
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t begin = random() % 600;
    const std::uint64_t end = begin + 1 + random() % 4;
    bool all = true;
    for (std::uint64_t n = begin; n < end; ++n) all = all && plain.count(n) > 0;
    ASSERT_EQ(ranges.contains(begin, end), all);
    if (!ranges.insert(begin, end)) continue;  // one hole too many
    for (std::uint64_t n = begin; n < end; ++n) plain.insert(n);
    std::uint64_t complete = 0;
    while (plain.count(complete) > 0) ++complete;
    ASSERT_EQ(ranges.complete(), complete);
    ASSERT_EQ(ranges.highest(), *plain.rbegin() + 1);
    for (std::size_t n = 1; n < ranges.size(); ++n) {
      ASSERT_LT(ranges[n - 1].end, ranges[n].begin);
      ASSERT_LT(ranges[n].begin, ranges[n].end);
    }
  }
}

TEST(UdpRanges, refuse_one_hole_too_many_until_the_lowest_is_forgotten) {
  Ranges ranges;
  for (std::uint64_t i = 1; i < kMaxRanges; ++i) ASSERT_TRUE(ranges.insert(10 * i, 10 * i + 1));
  EXPECT_FALSE(ranges.insert(100'000, 100'001));
  ranges.forget_lowest_hole();
  EXPECT_TRUE(ranges.insert(100'000, 100'001));
  EXPECT_EQ(ranges.complete(), 11U);
}

TEST(UdpRtt, follows_rfc_9002) {
  Rtt rtt;
  rtt.sample(10ms, 0ms);
  EXPECT_EQ(rtt.smoothed(), 10ms);
  EXPECT_EQ(rtt.probe_timeout(), 10ms + 4 * 5ms + kMaxAckDelay);
  rtt.sample(20ms, 400us);  // for which the peer had it
  EXPECT_EQ(rtt.smoothed(), (7 * 10ms + 19'600us) / 8);
  EXPECT_EQ(rtt.minimum(), 10ms);
  EXPECT_EQ(rtt.loss_delay(), Rtt::Duration(20ms) * 9 / 8);
  const Rtt::Duration before = rtt.smoothed();
  rtt.sample(20ms, 5ms);  // no peer waits longer than kMaxAckDelay of its own will
  EXPECT_EQ(rtt.smoothed(), (7 * before + 20ms - kMaxAckDelay) / 8);
}

class Fates final : public SentPackets::Events {
 public:
  std::vector<std::uint64_t> acked;
  std::vector<std::uint64_t> lost;
  int late = 0;
  void on_packet_acked(std::uint64_t number, const SentPacket&) override {
    acked.push_back(number);
  }
  void on_packet_lost(std::uint64_t number, const SentPacket&) override { lost.push_back(number); }
  void on_packet_late(TimePoint) override { ++late; }
};

Ack ack_of(std::initializer_list<AckRange> ranges) {
  Ack ack;
  for (const AckRange& range : ranges) ack.ranges[ack.count++] = range;
  return ack;
}

struct UdpSentPackets : testing::Test {
  SentPackets sent;
  Fates fates;
  Rtt rtt;
  UdpSentPackets() {
    rtt.sample(10ms, 0ms);
    for (int i = 0; i < 10; ++i) sent.push({kStart + i * 100us, 0, 100, 100});
  }
};

TEST_F(UdpSentPackets, three_later_ones_make_a_loss) {
  sent.acknowledge(ack_of({{2, 3}}), fates);
  sent.detect_losses(rtt, kStart + 2ms, fates);
  EXPECT_EQ(fates.acked, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(fates.lost, (std::vector<std::uint64_t>{0}));
  EXPECT_EQ(sent.bytes_in_flight(), 700U);
}

TEST_F(UdpSentPackets, nine_eighths_of_a_round_trip_make_a_loss) {
  sent.acknowledge(ack_of({{1, 1}}), fates);
  sent.detect_losses(rtt, kStart + 11ms, fates);
  EXPECT_TRUE(fates.lost.empty());
  ASSERT_TRUE(sent.loss_time());
  EXPECT_EQ(*sent.loss_time(), kStart + Rtt::Duration(10ms) * 9 / 8);
  sent.detect_losses(rtt, *sent.loss_time(), fates);
  EXPECT_EQ(fates.lost, (std::vector<std::uint64_t>{0}));
}

TEST_F(UdpSentPackets, one_that_arrives_late_raises_the_threshold) {
  sent.acknowledge(ack_of({{3, 5}}), fates);
  sent.detect_losses(rtt, kStart + 2ms, fates);
  EXPECT_EQ(fates.lost, (std::vector<std::uint64_t>{0, 1, 2}));
  sent.acknowledge(ack_of({{0, 5}}), fates);
  EXPECT_EQ(fates.late, 3);
  fates.lost.clear();
  sent.acknowledge(ack_of({{9, 9}, {0, 5}}), fates);
  sent.detect_losses(rtt, kStart + 2ms, fates);
  EXPECT_TRUE(fates.lost.empty());  // 6 is 3 numbers behind 9, and 0 came 5 behind
}

TEST_F(UdpSentPackets, an_ack_of_the_unsent_is_not_plausible_and_of_the_known_changes_nothing) {
  EXPECT_FALSE(sent.is_plausible(ack_of({{0, 10}})));
  EXPECT_TRUE(sent.is_plausible(ack_of({{0, 9}})));
  EXPECT_EQ(sent.acknowledge(ack_of({{0, 9}}), fates).bytes, 1000U);
  EXPECT_EQ(sent.acknowledge(ack_of({{0, 9}}), fates).bytes, 0U);
  EXPECT_TRUE(sent.empty());
}

/// A path on which each round trip acknowledges a whole window.
struct UdpCongestion : testing::Test {
  Congestion congestion;
  Rtt rtt;
  TimePoint now = kStart;
  Rtt::Duration trip = 20ms;
  UdpCongestion() {
    rtt.sample(20ms, 0ms);
    congestion.set_datagram(1472);
  }
  void round() {
    const TimePoint sent = now;
    now += trip;
    const std::size_t window = congestion.window();
    for (std::size_t done = 0; done < window; done += 1472) {
      congestion.on_acked(1472, sent, true, rtt, now);
    }
  }
};

TEST_F(UdpCongestion, doubles_each_round_trip_at_first) {
  const std::size_t first = congestion.window();
  EXPECT_EQ(first, 14'720U);
  round();
  EXPECT_NEAR(static_cast<double>(congestion.window()), 2.0 * static_cast<double>(first), 1500);
}

TEST_F(UdpCongestion, gives_up_three_tenths_once_for_all_losses_of_a_flight) {
  for (int i = 0; i < 3; ++i) round();
  const std::size_t before = congestion.window();
  const TimePoint sent = now;
  now += 20ms;
  for (int i = 0; i < 5; ++i) congestion.on_lost(sent, now);
  EXPECT_NEAR(static_cast<double>(congestion.window()), 0.7 * static_cast<double>(before), 2);
  EXPECT_FALSE(congestion.in_slow_start());
}

TEST_F(UdpCongestion, comes_back_to_where_it_was_as_cubic_has_it) {
  for (int i = 0; i < 4; ++i) round();
  trip = 150ms;  // on a short path it grows as Reno does, which is quicker
  rtt = {};
  rtt.sample(trip, 0ms);
  const auto before = static_cast<double>(congestion.window());
  congestion.on_lost(now, now);
  now += 1ms;
  // K = cbrt(0.3 * W / C) of RFC 9438, W in datagrams.
  const double k = std::cbrt(0.3 * before / 1472 / 0.4);
  const TimePoint back =
      now + std::chrono::duration_cast<Rtt::Duration>(std::chrono::duration<double>(k));
  while (now < back) round();
  EXPECT_NEAR(static_cast<double>(congestion.window()), before, 0.1 * before);
}

TEST_F(UdpCongestion, takes_a_reduction_back_when_nothing_was_lost_after_all) {
  for (int i = 0; i < 3; ++i) round();
  const std::size_t before = congestion.window();
  congestion.on_lost(now, now);
  congestion.on_lost(now, now);
  congestion.on_late(now);
  EXPECT_LT(congestion.window(), before);
  congestion.on_late(now);
  EXPECT_EQ(congestion.window(), before);
}

TEST_F(UdpCongestion, does_not_grow_while_there_is_not_enough_to_send) {
  const std::size_t before = congestion.window();
  congestion.on_acked(14'720, now, false, rtt, now + 20ms);
  EXPECT_EQ(congestion.window(), before);
}

TEST_F(UdpCongestion, time_without_enough_to_send_is_no_time_to_grow) {
  for (int i = 0; i < 4; ++i) round();
  congestion.on_lost(now, now);
  now += 1ms;
  for (int i = 0; i < 2; ++i) round();
  const auto before = static_cast<double>(congestion.window());
  for (int i = 0; i < 100; ++i) {
    now += 100ms;
    congestion.on_acked(1472, now - 20ms, false, rtt, now);
  }
  round();
  EXPECT_LT(static_cast<double>(congestion.window()), 1.1 * before);
}

TEST_F(UdpCongestion, a_larger_datagram_does_not_undo_a_reduction) {
  congestion.collapse();
  congestion.set_datagram(8972);
  EXPECT_EQ(congestion.window(), 2U * 8972);  // the least there is
  congestion.set_datagram(1200);
  EXPECT_EQ(congestion.window(), 2U * 1200);
}

TEST_F(UdpCongestion, leaves_slow_start_when_the_queue_grows) {
  for (int i = 0; i < 2; ++i) round();
  for (int i = 1; i < 9 && congestion.in_slow_start(); ++i) {
    for (int n = 0; n < 8; ++n) rtt.sample(20ms + i * 6ms, 0ms);
    round();
  }
  EXPECT_FALSE(congestion.in_slow_start());
  EXPECT_LT(congestion.window(), kMaxWindow);
}

TEST_F(UdpCongestion, paces_a_window_over_a_round_trip) {
  for (int i = 0; i < 6; ++i) round();
  std::size_t sent = 0;
  const TimePoint begin = now;
  while (now < begin + 200ms) {
    for (std::size_t left = congestion.allowance(rtt, now); left > 1472; left -= 1472) {
      congestion.on_sent(1472);
      sent += 1472;
    }
    now = std::max(now + 100us, congestion.ready(rtt));
  }
  // Ten round trips at twice the window, for it is in slow start.
  EXPECT_NEAR(static_cast<double>(sent), 20.0 * static_cast<double>(congestion.window()),
              2.0 * static_cast<double>(congestion.window()));
}

/// Probes until there is nothing more to learn; what is longer than `passes` is lost.
std::size_t search(PathSize* path, std::size_t passes, int* probes = nullptr) {
  for (int i = 0; i < 100 && path->wants_probe(kStart); ++i) {
    if (path->next_probe() <= passes) {
      path->on_probe_passed(kStart);
    } else {
      path->on_probe_lost(kStart);
    }
    if (probes != nullptr) *probes = i + 1;
  }
  return path->datagram();
}

TEST(UdpPathSize, one_probe_is_enough_where_the_interface_is_right) {
  PathSize path(65'507);
  int probes = 0;
  EXPECT_EQ(path.datagram(), kBaseDatagram);
  EXPECT_EQ(search(&path, 65'507, &probes), 65'507U);
  EXPECT_EQ(probes, 1);
}

TEST(UdpPathSize, finds_what_a_narrower_path_takes) {
  for (const std::size_t passes : {1200U, 1400U, 1472U, 5000U, 8972U}) {
    PathSize path(8972);
    const std::size_t found = search(&path, passes);
    EXPECT_LE(found, passes);
    EXPECT_GT(found + 40, passes);
  }
}

TEST(UdpPathSize, falls_back_in_a_black_hole_and_tries_again_later) {
  PathSize path(8972);
  search(&path, 8972);
  path.on_black_hole(kStart);
  EXPECT_EQ(path.datagram(), kBaseDatagram);
  EXPECT_LT(search(&path, 1400), 1401U);
  EXPECT_FALSE(path.wants_probe(kStart + 1s));
  EXPECT_TRUE(path.wants_probe(kStart + 3600s));
}

}  // namespace
}  // namespace grainfabric::transport::udp
