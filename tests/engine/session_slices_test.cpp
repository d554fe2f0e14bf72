// SPDX-License-Identifier: Apache-2.0
// Grains that are told of slice by slice while they land.
#include <cstring>
#include <latch>

#include "cut.hpp"
#include "session/slice_cut.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

TargetOptions reporting(const std::string& provider, std::uint16_t port = 0) {
  TargetOptions options = with_provider(provider, port);
  options.report_slices = true;
  return options;
}

struct Report {
  std::uint64_t number;
  std::uint32_t valid;
  std::uint32_t total;
  bool operator==(const Report&) const = default;
};

/// Keeps what a receiver reports, and compares the bytes with what they should be by then.
class Reports {
 public:
  explicit Reports(Receiver& receiver) {
    receiver.heard.when_slices = [this](const SliceProgress& progress) { note(progress); };
  }
  /// What large grains hold is to be made before: it takes longer than a loop may stand still.
  void prepare(std::uint64_t number, std::size_t size) {
    const std::lock_guard lock(mutex_);
    begin(number, size);
  }
  /// Also called for each report, after it was noted.
  std::function<void(const SliceProgress&)> then;

  std::vector<Report> all() const {
    const std::lock_guard lock(mutex_);
    return reports_;
  }
  [[nodiscard]] Report last() const {
    const std::lock_guard lock(mutex_);
    return reports_.empty() ? Report{} : reports_.back();
  }

 private:
  void note(const SliceProgress& progress) {
    {
      const std::lock_guard lock(mutex_);
      check(progress);
      reports_.push_back({progress.info.pts, progress.valid, progress.total});
    }
    if (then) then(progress);
  }

  void begin(std::uint64_t number, std::size_t size) {
    number_ = number;
    content_ = content(number, size);
    seen_ = 0;
  }
  void check(const SliceProgress& progress) {
    const std::uint64_t number = progress.info.pts;
    const bool whole = progress.valid == progress.total;
    EXPECT_EQ(progress.payload.size(),
              whole ? progress.payload_size : progress.valid * progress.slice_size);
    if (number != number_) begin(number, progress.payload_size);
    ASSERT_LE(progress.payload.size(), content_.size());
    const auto fresh = progress.payload.subspan(seen_);
    EXPECT_TRUE(fresh.empty() ||
                std::memcmp(fresh.data(), content_.data() + seen_, fresh.size()) == 0)
        << "grain " << number << " is torn in " << progress.valid << " of " << progress.total;
    seen_ = progress.payload.size();
    if (whole || !progress.metadata.empty()) {
      const auto metadata = content(number + 1'000'000, progress.metadata.size());
      EXPECT_TRUE(std::equal(metadata.begin(), metadata.end(), progress.metadata.begin()));
    }
    const auto memory = std::as_const(*progress.memory).bytes();
    EXPECT_GE(progress.payload.data(), memory.data());
    EXPECT_LE(progress.payload.data() + progress.payload_size, memory.data() + memory.size());
  }

  mutable std::mutex mutex_;
  std::vector<Report> reports_;
  std::uint64_t number_ = 0;        // the grain that is landing, …
  std::vector<std::byte> content_;  // … what it should hold, …
  std::size_t seen_ = 0;            // … and how much of that was compared
};

/// Whether slices become valid one by one there: the bytes travel, and in order.
bool goes_slice_by_slice(const std::string& provider) {
  const auto domain = transport::Table::shared().open({provider, "127.0.0.1", {}});
  return domain->capabilities().ordered && !domain->capabilities().shares;
}

/// Stops a loop while it lives, so that what runs on it stands still.
class Standstill {
 public:
  explicit Standstill(EventLoop& loop) {
    loop.post([this] {
      stopped_.count_down();
      go_on_.wait();
      over_.count_down();
    });
    EXPECT_TRUE(eventually([this] { return stopped_.try_wait(); }));
  }
  ~Standstill() {
    go_on_.count_down();
    EXPECT_TRUE(eventually([this] { return over_.try_wait(); }));
  }
  Standstill(const Standstill&) = delete;

 private:
  std::latch stopped_{1};
  std::latch go_on_{1};
  std::latch over_{1};
};

// ---- how a payload is cut ---------------------------------------------------------------------

TEST(SliceCut, slices_are_whole_units_and_cover_the_payload_once) {
  for (const std::size_t size : {1U, 2U, 7U, 100U, 5120U * 1080U, 5120U * 1080U + 1U, 999'983U}) {
    for (const std::size_t slices : {1U, 2U, 3U, 8U, 64U, 1080U, 4320U, 5000U}) {
      for (const std::size_t unit : {0U, 1U, 3U, 128U, 5120U, 10'000'000U}) {
        const SliceCut cut = cut_slices(size, slices, unit);
        ASSERT_GE(cut.count, 1U);
        ASSERT_LE(cut.count, std::min(slices, kMaxSlices));
        if (cut.count == 1) {
          EXPECT_EQ(cut.size, 0U);
          EXPECT_TRUE(slices == 1 || unit >= size || size == 1) << size << " by " << unit;
          continue;
        }
        EXPECT_EQ(cut.size % std::max<std::size_t>(unit, 1), 0U);
        EXPECT_GE(std::size_t{cut.count} * cut.size, size);
        EXPECT_LT((std::size_t{cut.count} - 1) * cut.size, size);
      }
    }
  }
}

TEST(SliceCut, lines_are_shared_out_evenly) {
  constexpr SliceCut cut = cut_slices(5120 * 1080, 8, 5120);
  EXPECT_EQ(cut.count, 8U);
  EXPECT_EQ(cut.size, 135U * 5120);
}

TEST(SliceCut, there_are_no_more_slices_than_units) {
  EXPECT_EQ(cut_slices(5, 8, 1).count, 5U);
  EXPECT_EQ(cut_slices(2500, 8, 1000).count, 3U);
  EXPECT_EQ(cut_slices(1000, 8, 1000).count, 1U);
  EXPECT_EQ(cut_slices(0, 8, 1).count, 1U);
  EXPECT_EQ(cut_slices(kMaxCapacity, SIZE_MAX, 1).count, kMaxSlices);
}

// ---- over every provider ----------------------------------------------------------------------

class SessionSlices : public OverProviders {};
OVER_PROVIDERS(SessionSlices);

TEST_P(SessionSlices, each_count_is_reported_once_in_order_and_then_the_grain_comes) {
  Receiver receiver(reporting(GetParam()));
  Reports reports(receiver);
  Sender sender(to(receiver, GetParam()));
  sender->start();
  const struct {
    Shape shape;
    std::uint32_t total;
  } grains[] = {
      {{3'000'000, 30, 1, 8, 5000}, 8},
      {{3'000'000, 30, 3}, 1},  // whole ones between them
      {{100'000, 0, 2, 7, 1}, 7},
      {{0, 30, 1, 8, 1}, 1},
      {{5, 30, 1, 8, 1}, 5},
      {{2500, 30, 1, 8, 1000}, 3},
      {{50'000, 0, 1, 4320, 1}, 4167},
      {{1'000'000, 30, 1, 2, 600'000}, 2},
  };
  const bool one_by_one = goes_slice_by_slice(GetParam());
  std::vector<Report> wanted;
  std::uint64_t number = 0;
  for (const auto& grain : grains) {
    ASSERT_EQ(sender.push(grain.shape), PushResult::accepted);
    ASSERT_TRUE(next_is(receiver, ++number, grain.shape.size));
    for (std::uint32_t i = one_by_one ? 1 : grain.total; i <= grain.total; ++i) {
      wanted.push_back({number, i, grain.total});
    }
    EXPECT_EQ(reports.all(), wanted);
  }
  receiver.end();
}

TEST_P(SessionSlices, many_sliced_grains_in_flight_stay_in_order_and_whole) {
  Receiver receiver(reporting(GetParam()));
  Reports reports(receiver);
  Sender sender(to(receiver, GetParam()));
  sender->start();
  constexpr std::uint64_t kGrains = 60;
  std::thread pusher([&] {
    for (std::uint64_t i = 1; i <= kGrains; ++i) {
      EXPECT_EQ(sender.push({200'000 + i * 100, 30, 1 + i % 2, 1 + i % 9, 128}),
                PushResult::accepted);
    }
  });
  for (std::uint64_t i = 1; i <= kGrains; ++i) EXPECT_TRUE(next_is(receiver, i, 200'000 + i * 100));
  pusher.join();
  std::uint64_t number = 1;
  std::uint32_t valid = 0;
  for (const Report& report : reports.all()) {
    ASSERT_EQ(report.number, number);
    EXPECT_EQ(report.total, 1 + number % 9);
    ASSERT_GT(report.valid, valid);
    valid = report.valid == report.total ? 0 : report.valid;
    number += report.valid == report.total ? 1 : 0;
  }
  EXPECT_EQ(number, kGrains + 1);
  EXPECT_EQ(sender->stats().lost, 0U);
  receiver.end();
}

TEST_P(SessionSlices, long_metadata_is_there_with_the_last_slice) {
  Receiver receiver(reporting(GetParam()));
  Reports reports(receiver);
  std::vector<std::size_t> metadata;
  reports.then = [&](const SliceProgress& progress) {
    metadata.push_back(progress.metadata.size());
    EXPECT_EQ(progress.metadata.empty(), progress.valid < progress.total);
  };
  Sender sender(to(receiver, GetParam()));
  sender->start();
  ASSERT_EQ(sender.push({100'000, 20'000, 1, 4, 1}), PushResult::accepted);
  ASSERT_TRUE(next_is(receiver, 1, 100'000));
  receiver.end();
  EXPECT_EQ(metadata.size(), goes_slice_by_slice(GetParam()) ? 4U : 1U);
  EXPECT_EQ(metadata.back(), 20'000U);
}

TEST_P(SessionSlices, nothing_is_reported_unless_asked_for) {
  Receiver receiver(with_provider(GetParam()));
  Reports reports(receiver);
  Sender sender(to(receiver, GetParam()));
  sender->start();
  for (std::uint64_t i = 1; i <= 8; ++i) {
    ASSERT_EQ(sender.push({300'000, 30, 1, 8, 1}), PushResult::accepted);
    EXPECT_TRUE(next_is(receiver, i, 300'000));
  }
  receiver.end();
  EXPECT_TRUE(reports.all().empty());
}

TEST_P(SessionSlices, either_end_may_go_in_the_middle_of_a_grain) {
  for (int round = 0; round < 6; ++round) {
    auto receiver = std::make_unique<Receiver>(reporting(GetParam()));
    Reports reports(*receiver);
    std::atomic<bool> begun{false};
    reports.then = [&](const SliceProgress&) { begun = true; };
    auto sender = std::make_unique<Sender>(to(*receiver, GetParam()));
    (*sender)->start();
    ASSERT_TRUE(sender->push_many(2, {3'000'000, 10, 1, 32, 1}));
    ASSERT_TRUE(eventually([&] { return begun.load(); }));
    if (round % 2 == 0) {
      receiver.reset();
      sender.reset();
    } else {
      sender.reset();
      receiver.reset();
    }
  }
}

TEST_P(SessionSlices, what_comes_before_the_grain_can_be_popped_by_then) {
  Receiver receiver(reporting(GetParam()));
  Reports reports(receiver);
  std::vector<std::string> names;
  std::uint64_t popped = 0;
  // pop() belongs to one thread: to this one, as long as there are reports.
  reports.then = [&, &target = *receiver.operator->()](const SliceProgress& progress) {
    while (auto incoming = target.pop(0ms)) {
      if (const auto* event = std::get_if<StreamEvent>(&*incoming)) names.push_back(event->name);
      if (std::holds_alternative<IncomingGrain>(*incoming)) ++popped;
    }
    EXPECT_EQ(popped, progress.info.pts - 1);
    ASSERT_EQ(names.size(), progress.info.pts);
    EXPECT_EQ(names.back(), "before " + std::to_string(progress.info.pts));
  };
  Sender sender(to(receiver, GetParam()));
  sender->start();
  for (int i = 1; i <= 12; ++i) {
    sender.push_event("before " + std::to_string(i));
    ASSERT_EQ(sender.push({300'000, 30, 1, 6, 1}), PushResult::accepted);
  }
  EXPECT_TRUE(eventually([&] { return reports.last() == Report{12, 6, 6}; }));
  receiver.end();
}

TEST_P(SessionSlices, a_flush_ends_the_reports_until_it_is_over) {
  Receiver receiver(reporting(GetParam()));
  Reports reports(receiver);
  reports.then = [&target = *receiver.operator->()](const SliceProgress&) {
    target.set_flushing(true);
  };
  Sender sender(to(receiver, GetParam()));
  sender->start();
  ASSERT_TRUE(sender.push_many(3, {300'000, 30, 1, 8, 1}));
  ASSERT_TRUE(sender->drain(kPatience));
  EXPECT_EQ(reports.all().size(), 1U);
  reports.then = nullptr;
  receiver->set_flushing(false);
  ASSERT_EQ(sender.push({300'000, 30, 1, 8, 1}), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 4, 300'000));
  EXPECT_EQ(reports.last(), (Report{4, 8, 8}));
  receiver.end();
}

// ---- while the rest is still to come ----------------------------------------------------------

/// Transports that carry the bytes, and one by one. The initiator has a loop of its own, which can
/// be stopped when the first slice is there: 64 MiB are far more than the window and all queues
/// between the two hold.
class SlicesOnTheWay : public OverProviders {
 protected:
  static constexpr std::uint32_t kSlices = 16;
  static constexpr Shape kShape{std::size_t{64} << 20U, 30, 1, kSlices, 4096};

  void SetUp() override {
    OverProviders::SetUp();
    if (IsSkipped()) return;
    receiver_ = std::make_unique<Receiver>(reporting(GetParam()));
    reports_ = std::make_unique<Reports>(*receiver_);
    reports_->then = [this](const SliceProgress& progress) {
      if (progress.valid > 1 || stands_still_) return;
      standstill_ = std::make_unique<Standstill>(*sender_loop_);
      const std::byte* const end = progress.payload.data() + progress.payload_size;
      EXPECT_EQ(std::count(end - progress.slice_size, end, std::byte{0}),
                static_cast<std::ptrdiff_t>(progress.slice_size))
          << "the last slice was there with the first";
      stands_still_ = true;
    };
    InitiatorOptions options = to(*receiver_, GetParam());
    options.slots = 2;
    sender_ = std::make_unique<Sender>(options, sender_loop_);
    (*sender_)->start();
  }
  void TearDown() override {
    standstill_.reset();
    sender_.reset();
    receiver_.reset();
  }
  /// Pushes a grain, which then stands in the middle.
  void push_and_stop() {
    reports_->prepare(1, kShape.size);
    ASSERT_EQ(sender_->push(kShape), PushResult::accepted);
    ASSERT_TRUE(eventually([&] { return stands_still_.load(); }));
  }

  const std::shared_ptr<EventLoop> sender_loop_ = std::make_shared<EventLoop>();
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<Reports> reports_;
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<Standstill> standstill_;  // made by the target's loop thread, before …
  std::atomic<bool> stands_still_{false};   // … this is true
};
INSTANTIATE_TEST_SUITE_P(Over, SlicesOnTheWay, testing::Values("tcp", "udp"), provider_name);

TEST_P(SlicesOnTheWay, the_first_slices_are_there_while_the_last_are_not_sent) {
  push_and_stop();
  std::this_thread::sleep_for(200ms);  // what is on its way arrives
  const Report now = reports_->last();
  EXPECT_GE(now.valid, 1U);
  EXPECT_LT(now.valid, kSlices);
  EXPECT_EQ((*receiver_)->stats().grains, 0U);
  EXPECT_FALSE(receiver_->pop_grain(0ms));
  standstill_.reset();
  EXPECT_TRUE(next_is(*receiver_, 1, kShape.size));
  std::vector<Report> wanted;
  for (std::uint32_t i = 1; i <= kSlices; ++i) wanted.push_back({1, i, kSlices});
  EXPECT_EQ(reports_->all(), wanted);
}

TEST_P(SlicesOnTheWay, a_grain_whose_session_ends_in_the_middle_is_lost_and_never_handed_out) {
  push_and_stop();
  ASSERT_EQ(cut((*receiver_)->port()), 1);
  ASSERT_TRUE(receiver_->heard.wait_for(PeerChange::Kind::disconnected));
  reports_->then = nullptr;  // there is no session, and none comes yet
  standstill_.reset();
  ASSERT_TRUE(receiver_->heard.wait_for(PeerChange::Kind::connected, 2));
  ASSERT_EQ(sender_->push({300'000, 30, 1, 4, 1}), PushResult::accepted);
  const auto grain = receiver_->pop_grain();
  ASSERT_TRUE(grain);
  EXPECT_EQ(grain->info.sequence, 2U);
  EXPECT_TRUE(grain->discont);
  EXPECT_TRUE(is_whole(*grain));
  EXPECT_EQ((*receiver_)->stats().grains, 1U);
  EXPECT_EQ((*receiver_)->stats().lost, 1U);
  EXPECT_EQ((*sender_)->stats().lost, 1U);
  EXPECT_EQ((*sender_)->stats().grains, 2U);
  std::vector<Report> of_the_second;
  for (const Report& report : reports_->all()) {
    EXPECT_TRUE(report.number == 2 || report.valid < kSlices);
    if (report.number == 2) of_the_second.push_back(report);
  }
  EXPECT_EQ(of_the_second, (std::vector<Report>{{2, 1, 4}, {2, 2, 4}, {2, 3, 4}, {2, 4, 4}}));
}

TEST_P(SlicesOnTheWay, a_slot_whose_grain_is_half_there_has_no_credit_and_no_reader) {
  push_and_stop();
  EXPECT_EQ((*receiver_)->stats().credits, 2U);  // to write one is half used up
  EXPECT_EQ((*sender_)->stats().credits, 1U);
  standstill_.reset();
  auto grain = receiver_->pop_grain();
  ASSERT_TRUE(grain);
  EXPECT_EQ((*receiver_)->stats().credits, 1U);
  grain.reset();
  EXPECT_TRUE(eventually([&] { return (*sender_)->stats().credits == 2; }));
}

TEST_P(SlicesOnTheWay, the_initiator_may_go_in_the_middle) {
  push_and_stop();
  std::thread stopper([&] { sender_->end(); });
  std::this_thread::sleep_for(20ms);
  standstill_.reset();
  stopper.join();
  ASSERT_TRUE(receiver_->heard.wait_for(PeerChange::Kind::disconnected));
  EXPECT_FALSE(receiver_->pop_grain(0ms));
  EXPECT_EQ((*receiver_)->stats().grains, 0U);
  EXPECT_LT(reports_->last().valid, kSlices);
}

}  // namespace
}  // namespace grainfabric
