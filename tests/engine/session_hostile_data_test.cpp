// SPDX-License-Identifier: Apache-2.0
// What a target makes of an initiator that is proper until it writes into the ring.
#include "hostile_data.hpp"

namespace grainfabric {
namespace {

using namespace test;

TEST_F(HostileData, a_data_connection_without_the_token_is_refused_and_the_right_one_still_serves) {
  EXPECT_FALSE(dial(Token::random()));
  EXPECT_EQ(events_.closed.size(), 1U);
  loop_.remove(*endpoint_);
  endpoint_.reset();
  events_ = {};
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0, 1));
  loop_.run_until([&] { return !events_.completed.empty(); }, kPatience);
  const auto grain = receiver_.pop_grain();
  ASSERT_TRUE(grain);
  EXPECT_EQ(grain->payload.size(), 100U);
}

TEST_F(HostileData, a_grain_header_that_makes_no_sense_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  GrainHeader bad = header();
  bad.magic = 0;
  write(bad, make_immediate(0, 1));
  EXPECT_TRUE(is_over()) << "magic";
  TearDown();
  expect_service();
}

class HostileLanes : public HostileData {
 protected:
  HostileLanes() : HostileData(local(), Announce::last_piece, "local") {}
};

// Else the streaming thread serves a lane that has gone.
TEST_F(HostileLanes, that_connect_in_the_wrong_order_are_served_in_the_right_one) {
  protocol::Ring second_ring = configured(2);
  transport::Recorder second_events;
  auto second = domain_->connect(second_ring.address, second_ring.token, second_events);
  loop_.add(*second);
  ASSERT_TRUE(loop_.run_until([&] { return second_events.connected == 1; }, kPatience));
  ASSERT_TRUE(dial(ring_.token));
  std::swap(ring_, second_ring);
  std::swap(endpoint_, second);
  for (std::uint16_t i = 0; i < 3; ++i) {
    GrainHeader grain = header();
    grain.epoch = 2;
    grain.sequence = i + 1U;
    write(grain, make_immediate(i, 1), i);
    const auto arrived = receiver_.pop_grain();
    ASSERT_TRUE(arrived) << i;
    EXPECT_EQ(arrived->info.sequence, i + 1U);
  }
  EXPECT_FALSE(receiver_.pop_grain(200ms));
  loop_.remove(*second);
}

TEST_F(HostileData, a_slot_without_credit_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0, 1));
  const auto held = receiver_.pop_grain();
  ASSERT_TRUE(held);
  write(header(), make_immediate(0, 1));  // it is still read from
  EXPECT_TRUE(is_over()) << "slot 0 twice";
}

TEST_F(HostileData, a_slot_that_is_none_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0xFFFF, 1));
  EXPECT_TRUE(is_over()) << "slot 65535";
}

TEST_F(HostileData, a_grain_that_was_sent_before_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0, 1));
  write(header(), make_immediate(1, 1), 1);
  EXPECT_TRUE(is_over()) << "sequence 1 twice";
}

TEST_F(HostileData, no_field_of_a_header_leads_out_of_the_slot) {
  // One session for each: lane.open() is where all of them are checked.
  const std::function<void(GrainHeader&)> changes[] = {
      [](GrainHeader& h) { h.version = 2; },
      [](GrainHeader& h) { h.header_size = 64; },
      [](GrainHeader& h) { h.epoch = 2; },
      [](GrainHeader& h) { h.sequence = 0; },
      [](GrainHeader& h) { h.payload_size = 10'001; },
      [](GrainHeader& h) { h.payload_size = UINT64_MAX; },
      [](GrainHeader& h) { h.shared = 1; },  // nothing was shared
      [](GrainHeader& h) { h.metadata_size = kMaxHeaderMetadata + 1; },
      [](GrainHeader& h) { h.metadata_size = UINT32_MAX; },
      [](GrainHeader& h) { h.metadata_place = 7; },
      [](GrainHeader& h) { h.total_slices = 0; },
      [](GrainHeader& h) { h.total_slices = UINT32_MAX; },
      [](GrainHeader& h) { h.slice_size = 50; },  // that would be two
      [](GrainHeader& h) {
        h.payload_size = 0;
        h.slice_size = 1;
      },
      [](GrainHeader& h) {
        h.metadata_place = 1;
        h.metadata_size = 9'901;
      },
      [](GrainHeader& h) {
        h.metadata_place = 1;
        h.metadata_size = kMaxMetadata + 1;
      },
  };
  std::size_t ended = 0;
  for (const auto& change : changes) {
    if (ended > 0) begin_again();
    ASSERT_TRUE(dial(ring_.token));
    GrainHeader bad = header();
    change(bad);
    write(bad, make_immediate(0, 1));
    ++ended;
    EXPECT_TRUE(is_over(ended));
  }
}

}  // namespace
}  // namespace grainfabric
