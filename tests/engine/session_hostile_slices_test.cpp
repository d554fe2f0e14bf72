// SPDX-License-Identifier: Apache-2.0
// What a target makes of slices that are announced by hand: in another order than an initiator
// would, or not as they are.
#include "hostile_data.hpp"

namespace grainfabric {
namespace {

using namespace test;

TargetOptions reporting() {
  TargetOptions options = local();
  options.report_slices = true;
  return options;
}

/// Grains of 100 bytes in four slices of 25, as far as the test does not change them.
class HostileSlices : public HostileData {
 protected:
  struct Report {
    std::uint64_t sequence;
    std::uint32_t valid;
    bool operator==(const Report&) const = default;
  };

  explicit HostileSlices(Announce announce = Announce::last_piece)
      : HostileData(reporting(), announce) {
    receiver_.heard.when_slices = [this](const SliceProgress& progress) {
      EXPECT_EQ(progress.total, 4U);
      EXPECT_EQ(progress.slice_size, 25U);
      EXPECT_EQ(progress.payload_size, 100U);
      EXPECT_EQ(progress.payload.size(), 25 * progress.valid);
      const std::lock_guard lock(mutex_);
      reports_.push_back({progress.info.sequence, progress.valid});
    };
  }
  ~HostileSlices() override { receiver_.end(); }  // before what it reports to

  GrainHeader sliced(std::uint64_t sequence = 1) const {
    GrainHeader header = HostileData::header();
    header.sequence = sequence;
    header.total_slices = 4;
    header.slice_size = 25;
    return header;
  }
  /// A write without a payload that matters, once it has left.
  void announce(const GrainHeader& header, std::uint16_t slot, std::uint16_t valid) {
    const std::size_t before = events_.completed.size();
    write(header, make_immediate(slot, valid), slot);
    loop_.run_until([&] { return events_.completed.size() > before || !events_.closed.empty(); },
                    kPatience);
  }
  std::vector<Report> reports() {
    const std::lock_guard lock(mutex_);
    return reports_;
  }
  bool wait_for(std::size_t count) {
    return eventually([&] {
      loop_.run_for(1ms);  // no descriptor of its tells of reports
      return reports().size() >= count;
    });
  }
  testing::AssertionResult are_reported(const std::vector<Report>& wanted) {
    wait_for(wanted.size());
    loop_.run_for(20ms);  // and no more
    if (reports() == wanted) return testing::AssertionSuccess();
    auto failure = testing::AssertionFailure();
    for (const Report& report : reports()) {
      failure << " grain " << report.sequence << ": " << report.valid;
    }
    return failure;
  }

 private:
  std::mutex mutex_;
  std::vector<Report> reports_;
};

TEST_F(HostileSlices, counts_may_skip_some_but_the_grain_comes_with_the_last) {
  ASSERT_TRUE(dial(ring_.token));
  announce(sliced(), 0, 1);
  EXPECT_TRUE(are_reported({{1, 1}}));
  announce(sliced(), 0, 3);
  EXPECT_TRUE(are_reported({{1, 1}, {1, 3}}));
  EXPECT_FALSE(receiver_.pop_grain(0ms));
  announce(sliced(), 0, 4);
  const auto grain = receiver_.pop_grain();
  ASSERT_TRUE(grain);
  EXPECT_EQ(grain->payload.size(), 100U);
  EXPECT_TRUE(are_reported({{1, 1}, {1, 3}, {1, 4}}));
}

TEST_F(HostileSlices, all_at_once_is_one_report) {
  ASSERT_TRUE(dial(ring_.token));
  announce(sliced(), 0, 4);
  EXPECT_TRUE(receiver_.pop_grain());
  EXPECT_TRUE(are_reported({{1, 4}}));
}

TEST_F(HostileSlices, a_slot_begins_anew_when_it_is_given_back) {
  ASSERT_TRUE(dial(ring_.token));
  announce(sliced(1), 0, 2);
  announce(sliced(1), 0, 4);
  ASSERT_TRUE(receiver_.pop_grain());  // and let go: the credit is on its way
  ASSERT_TRUE(loop_.run_until([&] { return !events_.immediates.empty(); }, kPatience));
  announce(sliced(2), 0, 1);
  EXPECT_TRUE(are_reported({{1, 2}, {1, 4}, {2, 1}}));
}

TEST_F(HostileSlices, slices_wait_for_the_grains_and_events_before_theirs) {
  ASSERT_TRUE(dial(ring_.token));
  GrainHeader third = sliced(3);
  third.events_before = 1;
  announce(third, 2, 1);
  announce(sliced(2), 1, 4);
  announce(third, 2, 2);
  EXPECT_TRUE(are_reported({}));
  announce(sliced(1), 0, 4);
  EXPECT_TRUE(are_reported({{1, 4}, {2, 4}}));
  peer_->say(number(protocol::Type::event), protocol::Event{1, 2, {"caps", true, {}}}.encode());
  EXPECT_TRUE(are_reported({{1, 4}, {2, 4}, {3, 2}}));  // the newest
  EXPECT_TRUE(receiver_.pop_grain());
  EXPECT_TRUE(receiver_.pop_grain());
  EXPECT_EQ(receiver_.pop_event(), "caps");
}

TEST_F(HostileSlices, a_grain_that_is_whole_before_its_turn_is_reported_once) {
  ASSERT_TRUE(dial(ring_.token));
  announce(sliced(2), 1, 1);
  announce(sliced(2), 1, 4);
  announce(sliced(1), 0, 4);
  EXPECT_TRUE(are_reported({{1, 4}, {2, 4}}));
}

TEST_F(HostileSlices, counts_that_do_not_go_up_to_the_total_end_the_session) {
  const std::vector<std::uint16_t> counts[] = {{2, 1}, {2, 2},      {5}, {1, 5},
                                               {1, 0}, {1, 0xFFFF}, {0}};
  std::size_t ended = 0;
  for (const auto& some : counts) {
    if (ended > 0) begin_again();
    ASSERT_TRUE(dial(ring_.token));
    for (const std::uint16_t count : some) announce(sliced(), 0, count);
    ++ended;
    EXPECT_TRUE(is_over(ended));
  }
}

TEST_F(HostileSlices, a_cut_that_makes_no_sense_ends_the_session_with_the_first_slice) {
  const std::function<void(GrainHeader&)> changes[] = {
      [](GrainHeader& h) { h.total_slices = 3; },
      [](GrainHeader& h) { h.total_slices = UINT32_MAX; },
      [](GrainHeader& h) { h.slice_size = 0; },
      [](GrainHeader& h) { h.slice_size = UINT32_MAX; },
      [](GrainHeader& h) { h.payload_size = 0; },
      [](GrainHeader& h) { h.payload_size = UINT64_MAX; },
      [](GrainHeader& h) {  // one more than there may be
        h.payload_size = h.total_slices = kMaxSlices + 1;
        h.slice_size = 1;
      },
      [](GrainHeader& h) { h.magic = 0; },
      [](GrainHeader& h) { h.epoch = 7; },
  };
  std::size_t ended = 0;
  for (const auto& change : changes) {
    if (ended > 0) begin_again();
    ASSERT_TRUE(dial(ring_.token));
    GrainHeader bad = sliced();
    change(bad);
    announce(bad, 0, 1);
    ++ended;
    EXPECT_TRUE(is_over(ended));
  }
  EXPECT_TRUE(are_reported({}));
}

TEST_F(HostileSlices, a_header_that_changes_between_slices_ends_the_session) {
  const std::function<void(GrainHeader&)> changes[] = {
      [](GrainHeader& h) { h.sequence = 2; },
      [](GrainHeader& h) { h.payload_size = 99; },
      [](GrainHeader& h) { h.total_slices = 5; },
      [](GrainHeader& h) { h.pts = 1; },
      [](GrainHeader& h) {
        h.total_slices = 1;
        h.slice_size = 0;
      },
  };
  std::size_t ended = 0;
  for (const auto& change : changes) {
    if (ended > 0) begin_again();
    ASSERT_TRUE(dial(ring_.token));
    announce(sliced(), 0, 1);
    ASSERT_TRUE(wait_for(2 * ended + 1));  // or it would be the changed one that is seen
    GrainHeader changed = sliced();
    change(changed);
    announce(changed, 0, 2);
    ASSERT_TRUE(wait_for(2 * ended + 2));
    announce(changed, 0, 4);
    ++ended;
    EXPECT_TRUE(is_over(ended));
    EXPECT_FALSE(receiver_.pop_grain(0ms));
  }
}

TEST_F(HostileSlices, grains_that_are_begun_and_left_are_gone_with_their_session) {
  ASSERT_TRUE(dial(ring_.token));
  for (std::uint16_t slot = 0; slot < 4; ++slot) announce(sliced(slot + 1U), slot, 3);
  EXPECT_TRUE(are_reported({{1, 3}}));
  loop_.remove(*endpoint_);
  TearDown();
  EXPECT_TRUE(is_over()) << "left";
  EXPECT_EQ(receiver_->stats().grains, 0U);
  receiver_.heard.when_slices = nullptr;  // the next has others
  expect_service();
}

/// An initiator whose transport keeps no order: each piece is announced, with their number.
class UnorderedSlices : public HostileSlices {
 protected:
  UnorderedSlices() : HostileSlices(Announce::every_piece) {}
};

TEST_F(UnorderedSlices, where_no_order_is_kept_only_the_whole_grain_is_reported) {
  ASSERT_TRUE(dial(ring_.token));
  announce(sliced(), 0, 3);
  announce(sliced(), 0, 3);
  EXPECT_TRUE(are_reported({}));
  announce(sliced(), 0, 3);
  EXPECT_TRUE(are_reported({{1, 4}}));
  EXPECT_TRUE(receiver_.pop_grain());
}

}  // namespace
}  // namespace grainfabric
