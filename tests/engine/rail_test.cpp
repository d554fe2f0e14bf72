// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "fake_endpoint.hpp"
#include "transfer/rail.hpp"

namespace grainfabric {
namespace {

using test::FakeEndpoint;
using transport::Capabilities;

constexpr std::size_t kPiece = 4096;  // the smallest a rail takes

class RailTest : public testing::Test {
 protected:
  static Capabilities capabilities(bool ordered = true) {
    Capabilities can;
    can.max_write = 1U << 20U;
    can.max_pieces = Transfer::kMaxPieces;
    can.write_depth = 64;
    can.ordered = ordered;
    return can;
  }
  RailTest() { endpoint_.remote.resize(4U << 20U); }

  /// A transfer of one run of bytes to `address`, whose end is told in ended_[subject].
  Transfer transfer(std::size_t size, std::uint64_t address, std::uint16_t subject) {
    memory_.push_back(std::make_unique<std::vector<std::byte>>(size));
    for (std::size_t i = 0; i < size; ++i) {
      (*memory_.back())[i] = static_cast<std::byte>(i * 31 + subject);
    }
    Transfer one;
    one.pieces[0] = {memory_.back()->data(), size, nullptr};
    one.piece_count = 1;
    one.target_address = address;
    one.key = 77;
    one.subject = subject;
    one.done = [this, subject](bool written) { ended_.emplace_back(subject, written); };
    return one;
  }
  void complete(Rail& rail, std::size_t index = 0) { rail.on_completed(endpoint_.forget(index)); }
  void complete_all(Rail& rail) {
    while (!endpoint_.in_flight.empty()) complete(rail);
  }

  FakeEndpoint endpoint_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> memory_;
  std::vector<std::pair<std::uint16_t, bool>> ended_;
};

TEST_F(RailTest, whatever_the_gather_list_the_bytes_arrive_in_one_run) {
  std::mt19937 random(20886);
  const auto below = [&](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most)(random);
  };
  for (int round = 0; round < 300; ++round) {
    endpoint_.written.clear();
    Rail rail(endpoint_, capabilities(round % 2 == 0), {kPiece + below(3) * 1000, 1U << 20U});
    std::vector<std::byte> source(60'000);
    for (auto& byte : source) byte = static_cast<std::byte>(random());
    std::vector<std::byte> expected;
    Transfer one;
    one.piece_count = 1 + below(Transfer::kMaxPieces - 1);
    for (std::size_t i = 0; i < one.piece_count; ++i) {
      const std::size_t begin = below(source.size() - 20'000);
      const std::size_t size = 1 + below(below(1) == 0 ? 16 : 19'999);
      one.pieces[i] = {source.data() + begin, size, nullptr};
      expected.insert(expected.end(), source.begin() + static_cast<long>(begin),
                      source.begin() + static_cast<long>(begin + size));
    }
    one.target_address = below(1000);
    one.subject = 3;
    bool done = false;
    one.done = [&](bool written) { done = written; };
    const std::uint64_t address = one.target_address;
    rail.submit(std::move(one));
    std::uint64_t next = address;
    while (!endpoint_.in_flight.empty()) complete(rail, below(endpoint_.in_flight.size() - 1));
    for (const auto& write : endpoint_.written) {
      EXPECT_EQ(write.address, next);
      next += write.size;
    }
    EXPECT_TRUE(done);
    EXPECT_TRUE(rail.idle());
    ASSERT_EQ(next - address, expected.size());
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(),
                           endpoint_.remote.begin() + static_cast<long>(address)));
  }
}

TEST_F(RailTest, every_piece_but_the_last_is_of_the_piece_size) {
  Rail rail(endpoint_, capabilities(), {kPiece, 1U << 20U});
  rail.submit(transfer(3 * kPiece + 1, 100, 1));
  ASSERT_EQ(endpoint_.written.size(), 4U);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(endpoint_.written[static_cast<std::size_t>(i)].size, kPiece);
  EXPECT_EQ(endpoint_.written[3].size, 1U);
  EXPECT_EQ(endpoint_.written[3].key, 77U);
}

TEST_F(RailTest, a_transport_with_short_writes_decides_the_piece_size) {
  Capabilities can = capabilities();
  can.max_write = 1000;  // less than any piece would be
  Rail rail(endpoint_, can, {});
  rail.submit(transfer(2500, 0, 1));
  ASSERT_EQ(endpoint_.written.size(), 3U);
  EXPECT_EQ(endpoint_.written[0].size, 1000U);
  EXPECT_EQ(rail.max_transfer(), 1000U * 0xFFFF);
}

TEST_F(RailTest, where_order_is_kept_only_the_last_piece_announces) {
  Rail rail(endpoint_, capabilities(true), {kPiece, 1U << 20U});
  EXPECT_EQ(rail.announce(), Announce::last_piece);
  rail.submit(transfer(2 * kPiece + 5, 0, 9));
  ASSERT_EQ(endpoint_.written.size(), 3U);
  EXPECT_FALSE(endpoint_.written[0].immediate || endpoint_.written[1].immediate);
  EXPECT_EQ(endpoint_.written[2].immediate, make_immediate(9, 1));
}

TEST_F(RailTest, where_order_is_not_kept_each_piece_announces_their_number) {
  Rail rail(endpoint_, capabilities(false), {kPiece, 1U << 20U});
  EXPECT_EQ(rail.announce(), Announce::every_piece);
  for (const std::size_t size : {std::size_t{1}, kPiece, kPiece + 1, 5 * kPiece}) {
    endpoint_.written.clear();
    rail.submit(transfer(size, 0, 9));
    complete_all(rail);
    EXPECT_EQ(endpoint_.written.size(), rail.announcements(size));
    for (const auto& write : endpoint_.written) {
      EXPECT_EQ(write.immediate, make_immediate(9, rail.announcements(size)));
    }
  }
}

TEST_F(RailTest, each_slice_ends_a_piece_that_says_how_many_there_are) {
  Rail rail(endpoint_, capabilities(true), {kPiece, 1U << 20U});
  Transfer one = transfer(128 + 2 * 6000 + 10, 100, 9);
  one.slices = 3;
  one.lead = 128;
  one.slice_size = 6000;
  rail.submit(std::move(one));
  std::vector<std::size_t> sizes;
  std::vector<std::optional<std::uint32_t>> said;
  for (const auto& write : endpoint_.written) {
    sizes.push_back(write.size);
    said.push_back(write.immediate);
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{kPiece, 6128 - kPiece, kPiece, 6000 - kPiece, 10}));
  EXPECT_EQ(said, (std::vector<std::optional<std::uint32_t>>{
                      {}, make_immediate(9, 1), {}, make_immediate(9, 2), make_immediate(9, 3)}));
}

TEST_F(RailTest, wherever_a_transfer_is_cut_its_slices_are_announced_in_order_and_in_place) {
  std::mt19937 random(20886);
  const auto between = [&](std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random);
  };
  for (int round = 0; round < 300; ++round) {
    endpoint_.written.clear();
    Capabilities can = capabilities();
    can.max_write = between(100, 20'000);
    Rail rail(endpoint_, can, {kPiece, between(1, 100'000)});
    const std::size_t lead = between(128, 4096);
    const std::size_t slice = between(1, 5000);
    const auto slices = static_cast<std::uint16_t>(between(1, 20));
    const std::size_t trailer = between(0, 1) * between(0, 9000);  // metadata behind the payload
    const std::size_t size = lead + slice * slices - between(0, slice - 1) + trailer;
    Transfer one = transfer(size, 0, 5);
    one.slices = slices;
    one.lead = lead;
    one.slice_size = slice;
    rail.submit(std::move(one));
    while (!rail.idle()) {
      endpoint_.refuse_next = static_cast<int>(between(0, 1));
      if (!endpoint_.in_flight.empty()) complete(rail, between(0, endpoint_.in_flight.size() - 1));
      rail.pump();
    }
    std::size_t end = 0;
    std::uint16_t next = 1;
    for (const auto& write : endpoint_.written) {
      ASSERT_EQ(write.address, end);
      end += write.size;
      const std::size_t slice_end = next == slices ? size : lead + next * slice;
      ASSERT_LE(end, slice_end);
      EXPECT_EQ(write.immediate.has_value(), end == slice_end);
      if (write.immediate) {
        EXPECT_EQ(*write.immediate, make_immediate(5, next++));
      }
    }
    EXPECT_EQ(end, size);
    EXPECT_EQ(next, slices + 1);
    ASSERT_TRUE(
        std::equal(memory_.back()->begin(), memory_.back()->end(), endpoint_.remote.begin()));
    memory_.clear();
  }
}

TEST_F(RailTest, slices_that_are_there_at_once_are_announced_together) {
  Rail rail(endpoint_, capabilities(true), {kPiece, 1U << 20U});
  Transfer one = transfer(kPiece + 1, 0, 9);
  one.slices = 8;  // their bytes do not travel: no slice_size
  rail.submit(std::move(one));
  ASSERT_EQ(endpoint_.written.size(), 2U);
  EXPECT_FALSE(endpoint_.written[0].immediate);
  EXPECT_EQ(endpoint_.written[1].immediate, make_immediate(9, 8));
}

TEST_F(RailTest, where_order_is_not_kept_slices_change_nothing) {
  Rail rail(endpoint_, capabilities(false), {kPiece, 1U << 20U});
  Transfer one = transfer(3 * kPiece, 0, 9);
  one.slices = 12;
  one.slice_size = kPiece / 4;
  rail.submit(std::move(one));
  ASSERT_EQ(endpoint_.written.size(), 3U);
  for (const auto& write : endpoint_.written) EXPECT_EQ(write.immediate, make_immediate(9, 3));
}

TEST_F(RailTest, no_more_is_in_flight_than_the_window_holds) {
  Rail rail(endpoint_, capabilities(), {kPiece, 4 * kPiece});
  for (std::uint16_t i = 0; i < 10; ++i) rail.submit(transfer(3 * kPiece, i * 3 * kPiece, i));
  EXPECT_EQ(endpoint_.in_flight.size(), 4U);
  complete_all(rail);
  EXPECT_EQ(endpoint_.most_bytes_in_flight, 4 * kPiece);
  EXPECT_EQ(endpoint_.written.size(), 30U);
  EXPECT_EQ(ended_.size(), 10U);
}

TEST_F(RailTest, of_pieces_longer_than_the_window_two_are_in_flight) {
  Rail rail(endpoint_, capabilities(), {4 * kPiece, kPiece});
  rail.submit(transfer(16 * kPiece, 0, 1));
  EXPECT_EQ(endpoint_.in_flight.size(), 2U);
  complete_all(rail);
  EXPECT_EQ(endpoint_.most_in_flight, 2U);
  EXPECT_EQ(ended_.size(), 1U);
}

TEST_F(RailTest, room_is_left_in_the_queue_for_credits_and_messages) {
  Capabilities can = capabilities();
  can.write_depth = 20;
  Rail rail(endpoint_, can, {kPiece, 1U << 30U});
  rail.submit(transfer(100 * kPiece, 0, 1));
  complete_all(rail);
  EXPECT_EQ(endpoint_.most_in_flight, 12U);
}

TEST_F(RailTest, a_shallow_queue_still_moves) {
  Capabilities can = capabilities();
  can.write_depth = 1;
  endpoint_.depth = 1;
  Rail rail(endpoint_, can, {kPiece, 1U << 30U});
  rail.submit(transfer(10 * kPiece, 0, 1));
  complete_all(rail);
  EXPECT_EQ(endpoint_.written.size(), 10U);
  EXPECT_TRUE(rail.idle());
}

TEST_F(RailTest, what_the_endpoint_could_not_take_is_posted_later_and_once) {
  Rail rail(endpoint_, capabilities(), {kPiece, 1U << 20U});
  endpoint_.refuse_next = 1;
  rail.submit(transfer(2 * kPiece, 0, 1));
  EXPECT_TRUE(endpoint_.written.empty());
  rail.pump();
  EXPECT_EQ(endpoint_.written.size(), 2U);
  endpoint_.refuse_next = 1;
  rail.submit(transfer(kPiece, 2 * kPiece, 2));
  EXPECT_EQ(endpoint_.written.size(), 2U);
  complete(rail);  // a completion is reason enough to try again
  EXPECT_EQ(endpoint_.written.size(), 3U);
  complete_all(rail);
  EXPECT_EQ(ended_, (std::vector<std::pair<std::uint16_t, bool>>{{1, true}, {2, true}}));
}

TEST_F(RailTest, completions_may_come_in_any_order) {
  Rail rail(endpoint_, capabilities(), {kPiece, 1U << 20U});
  for (std::uint16_t i = 0; i < 4; ++i) rail.submit(transfer(2 * kPiece, i * 2 * kPiece, i));
  ASSERT_EQ(endpoint_.in_flight.size(), 8U);
  complete(rail, 7);
  EXPECT_TRUE(ended_.empty());
  complete(rail, 6);  // the last transfer is whole; the first is not even begun
  EXPECT_EQ(ended_, (std::vector<std::pair<std::uint16_t, bool>>{{3, true}}));
  EXPECT_FALSE(rail.idle());
  while (!endpoint_.in_flight.empty()) complete(rail, endpoint_.in_flight.size() - 1);
  EXPECT_EQ(ended_.size(), 4U);
  EXPECT_TRUE(rail.idle());
}

TEST_F(RailTest, a_transport_that_completes_inside_the_call_is_no_recursion) {
  Rail rail(endpoint_, capabilities(), {kPiece, 1U << 20U});
  endpoint_.complete_inside = [&](std::uint64_t context) { rail.on_completed(context); };
  for (std::uint16_t i = 0; i < 50; ++i) rail.submit(transfer(10 * kPiece, 0, i));
  EXPECT_EQ(ended_.size(), 50U);
  EXPECT_TRUE(rail.idle());
}

TEST_F(RailTest, an_abandoned_rail_ends_each_transfer_once_and_as_failed) {
  Rail rail(endpoint_, capabilities(), {kPiece, 2 * kPiece});
  for (std::uint16_t i = 0; i < 5; ++i) rail.submit(transfer(kPiece, i * kPiece, i));
  complete(rail, 1);  // transfer 1 is done, though the older 0 is not
  rail.abandon();
  rail.abandon();
  std::map<std::uint16_t, int> times;
  for (const auto& [subject, written] : ended_) {
    ++times[subject];
    EXPECT_EQ(written, subject == 1) << subject;
  }
  EXPECT_EQ(times.size(), 5U);
  EXPECT_TRUE(std::all_of(times.begin(), times.end(), [](auto& t) { return t.second == 1; }));
  rail.on_completed(endpoint_.forget(0));  // too late to mean anything
  EXPECT_EQ(ended_.size(), 5U);
}

TEST_F(RailTest, a_broken_endpoint_keeps_transfers_until_they_are_abandoned) {
  Rail rail(endpoint_, capabilities(), {kPiece, 1U << 20U});
  endpoint_.broken = true;
  rail.submit(transfer(kPiece, 0, 1));
  EXPECT_TRUE(ended_.empty());
  rail.abandon();
  EXPECT_EQ(ended_, (std::vector<std::pair<std::uint16_t, bool>>{{1, false}}));
}

TEST_F(RailTest, a_completion_of_nothing_is_ignored) {
  Rail rail(endpoint_, capabilities(), {kPiece, 1U << 20U});
  rail.submit(transfer(kPiece, 0, 1));
  rail.on_completed(std::uint64_t{5} << 32U | kPiece);
  rail.on_completed(UINT64_MAX);
  EXPECT_TRUE(ended_.empty());
  complete_all(rail);
  EXPECT_EQ(ended_.size(), 1U);
}

TEST(Immediate, it_holds_the_subject_below_and_the_count_above) {
  EXPECT_EQ(make_immediate(0x1234, 0xABCD), 0xABCD1234U);
}

}  // namespace
}  // namespace grainfabric
