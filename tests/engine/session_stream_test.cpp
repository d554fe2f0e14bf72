// SPDX-License-Identifier: Apache-2.0
// Grains and events from one end to the other, in order and unchanged.
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

class SessionStream : public PairOverProviders {};
OVER_PROVIDERS(SessionStream);

TEST_P(SessionStream, grains_arrive_whole_and_in_order) {
  std::thread pusher([&] { EXPECT_TRUE(sender_->push_many(100, {50'000, 100, 1})); });
  for (std::uint64_t number = 1; number <= 100; ++number) {
    ASSERT_TRUE(next_is(*receiver_, number, 50'000));
  }
  pusher.join();
  EXPECT_TRUE((*sender_)->drain(kPatience));
  const Stats sent = (*sender_)->stats();
  const Stats got = (*receiver_)->stats();
  EXPECT_EQ(sent.grains, 100U);
  EXPECT_EQ(sent.bytes, 5'000'000U);
  EXPECT_EQ(sent.lost + sent.dropped, 0U);
  EXPECT_EQ(got.grains, 100U);
  EXPECT_EQ(got.bytes, 5'000'000U);
  EXPECT_EQ(got.lost, 0U);
  EXPECT_EQ(sent.provider, GetParam());
  EXPECT_EQ(got.provider, GetParam());
  EXPECT_EQ(sent.reconnects + got.reconnects, 0U);
  EXPECT_GT(got.latency_p99, 0U);
}

TEST_P(SessionStream, grains_of_every_size_and_shape_arrive_whole) {
  const Shape shapes[] = {
      {0, 0, 1},
      {0, 20, 1},
      {1, 0, 1},
      {4096, 1, 1},
      {4097, 7, 3},
      {100, kMaxHeaderMetadata, 1},
      {100, kMaxHeaderMetadata + 1, 1},
      {0, 5000, 1},
      {70'000, 40'000, 2},
      {300'000, 8, 7},
      {300'001, 9, 20},
      {3'000'000, 64, 2},
      {10, 10, 10},
  };
  std::thread pusher([&] {
    for (const Shape& shape : shapes) EXPECT_EQ(sender_->push(shape), PushResult::accepted);
  });
  std::uint64_t number = 0;
  for (const Shape& shape : shapes) {
    const auto grain = receiver_->pop_grain();
    ASSERT_TRUE(grain) << shape.size;
    EXPECT_EQ(grain->info.pts, ++number);
    EXPECT_EQ(grain->payload.size(), shape.size);
    EXPECT_EQ(grain->metadata.size(), shape.metadata);
    EXPECT_TRUE(is_whole(*grain));
  }
  pusher.join();
}

TEST_P(SessionStream, a_payload_lies_in_the_ring_at_a_page) {
  if (is_local()) GTEST_SKIP() << "local leaves it where the initiator has it";
  ASSERT_EQ(sender_->push({5000, 0, 1}), PushResult::accepted);
  const auto grain = receiver_->pop_grain();
  ASSERT_TRUE(grain);
  const auto& ring = *grain->lease.ring();
  EXPECT_EQ(grain->payload.data(),
            ring.region()->data() + ring.payload_offset(grain->lease.slot()));
  EXPECT_EQ(ring.payload_offset(grain->lease.slot()) % kPageSize, 0U);
  EXPECT_GE(ring.capacity(), 5000U);
}

TEST_P(SessionStream, a_larger_grain_makes_a_new_ring_and_the_old_slots_stay_as_they_are) {
  if (is_local()) GTEST_SKIP() << "local's ring has only headers";
  std::vector<IncomingGrain> held;
  for (const std::size_t size : {80'000, 200'000, 1'000'000}) {
    ASSERT_TRUE(sender_->push_many(2, {size, 30, 1}));
    for (int i = 0; i < 2; ++i) {
      auto grain = receiver_->pop_grain();
      ASSERT_TRUE(grain);
      EXPECT_EQ(grain->payload.size(), size);
      held.push_back(std::move(*grain));
    }
  }
  EXPECT_EQ((*sender_)->stats().epoch, 3U);
  EXPECT_EQ((*sender_)->stats().reconnects, 0U);
  EXPECT_EQ((*receiver_)->stats().epoch, 3U);
  for (std::uint64_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(held[i].info.pts, i + 1);
    EXPECT_TRUE(is_whole(held[i]));
  }
  held.clear();
  ASSERT_TRUE(sender_->push_many(1, {10, 0, 1}));  // small again: the large ring serves
  EXPECT_TRUE(next_is(*receiver_, 7, 10));
  EXPECT_EQ((*sender_)->stats().epoch, 3U);
  EXPECT_EQ((*sender_)->stats().lost, 0U);
}

TEST_P(SessionStream, rings_grow_while_the_stream_runs_and_nothing_is_lost) {
  std::thread pusher([&] {
    for (std::size_t i = 0; i < 60; ++i) {
      EXPECT_EQ(sender_->push({1000 + i * i * 500, i, 1 + i % 3}), PushResult::accepted);
    }
  });
  for (std::size_t i = 0; i < 60; ++i) ASSERT_TRUE(next_is(*receiver_, i + 1, 1000 + i * i * 500));
  pusher.join();
  if (!is_local()) {
    EXPECT_GT((*sender_)->stats().epoch, 2U);
  }
  EXPECT_EQ((*receiver_)->stats().lost, 0U);
}

TEST_P(SessionStream, events_come_between_the_grains_they_belong_between) {
  std::thread pusher([&] {
    sender_->push_event("stream-start", true);
    sender_->push_event("caps", true);
    for (int i = 1; i <= 50; ++i) {
      EXPECT_EQ(sender_->push({i % 7 == 0 ? 200'000U + static_cast<unsigned>(i) * 3000U : 100U}),
                PushResult::accepted);
      sender_->push_event("after-" + std::to_string(i));
    }
  });
  EXPECT_EQ(receiver_->pop_event(), "stream-start");
  EXPECT_EQ(receiver_->pop_event(), "caps");
  for (std::uint64_t i = 1; i <= 50; ++i) {
    auto grain = receiver_->pop_grain();
    ASSERT_TRUE(grain);
    EXPECT_EQ(grain->info.pts, i);
    EXPECT_EQ(grain->discont, i == 1);
    grain.reset();
    EXPECT_EQ(receiver_->pop_event(), "after-" + std::to_string(i));
  }
  pusher.join();
}

TEST_P(SessionStream, an_events_body_crosses_unchanged_up_to_the_limit) {
  std::vector<std::byte> body = content(9, kMaxEventBody);
  ASSERT_EQ((*sender_)->push_event({"large", false, body}, {}), PushResult::accepted);
  auto incoming = receiver_->pop();
  ASSERT_TRUE(incoming && std::holds_alternative<StreamEvent>(*incoming));
  EXPECT_EQ(std::get<StreamEvent>(*incoming).body, body);
  body.push_back(std::byte{0});
  EXPECT_EQ((*sender_)->push_event({"too large", false, body}, {}), PushResult::dropped);
}

TEST_P(SessionStream, a_held_grain_does_not_change) {
  ASSERT_TRUE(sender_->push_many(1, {100'000, 50, 1}));
  const auto held = receiver_->pop_grain();
  ASSERT_TRUE(held);
  std::thread pusher([&] { EXPECT_TRUE(sender_->push_many(40, {100'000, 50, 1})); });
  for (std::uint64_t i = 2; i <= 41; ++i) ASSERT_TRUE(next_is(*receiver_, i, 100'000));
  pusher.join();
  EXPECT_TRUE(is_whole(*held));
  EXPECT_EQ(held->info.pts, 1U);
}

TEST_P(SessionStream, upstream_events_reach_the_initiator) {
  ASSERT_TRUE(receiver_->heard.wait_for(PeerChange::Kind::connected));
  (*receiver_)->send_upstream({"force-key-unit", false, content(1, 100)});
  ASSERT_TRUE(eventually([&] { return !sender_->heard.upstream().empty(); }));
  EXPECT_EQ(sender_->heard.upstream()[0].name, "force-key-unit");
  EXPECT_EQ(sender_->heard.upstream()[0].body, content(1, 100));
}

TEST_P(SessionStream, stop_lets_everything_arrive_that_was_pushed) {
  std::thread pusher([&] {
    EXPECT_TRUE(sender_->push_many(4, {1'000'000, 10, 1}));
    sender_->push_event("eos");
    (*sender_)->stop();
  });
  for (std::uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE(next_is(*receiver_, i, 1'000'000));
  EXPECT_EQ(receiver_->pop_event(), "eos");
  pusher.join();
  ASSERT_TRUE(receiver_->heard.wait_for(PeerChange::Kind::disconnected));
  EXPECT_TRUE(receiver_->heard.changes(PeerChange::Kind::disconnected)[0].orderly);
  EXPECT_EQ((*sender_)->stats().lost, 0U);
  EXPECT_EQ((*sender_)->stats().provider, "");
}

TEST_P(SessionStream, memory_of_the_initiators_own_slots_is_sent_from_where_it_lies) {
  SlotArena arena(100'000, 2);
  static std::atomic<int> released{0};
  released = 0;
  for (int i = 0; i < 3; ++i) {
    const auto slot = arena.take();
    const auto bytes = slot.region->bytes().subspan(slot.offset + kSlotHeaderSize, 100'000);
    const auto wanted = content(static_cast<std::uint64_t>(i), bytes.size());
    std::copy(wanted.begin(), wanted.end(), bytes.begin());
    const PayloadPart part{bytes, slot.region};
    OutgoingGrain grain;
    grain.payload = std::span(&part, 1);
    grain.release = {[](void*) { ++released; }, nullptr};
    ASSERT_EQ((*sender_)->push(grain, {}), PushResult::accepted);
    const auto got = receiver_->pop_grain();
    ASSERT_TRUE(got);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), got->payload.begin()));
    EXPECT_EQ(got->info.pts, kNone);
  }
  EXPECT_TRUE(eventually([&] { return released == 3; }));
  EXPECT_EQ((*sender_)->stats().bytes_copied, 0U);
  EXPECT_EQ((*sender_)->stats().grains_foreign, 0U);
  EXPECT_EQ((*receiver_)->stats().bytes_copied, 0U);
}

}  // namespace
}  // namespace grainfabric
