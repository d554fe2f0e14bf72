// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "transport/verbs/handles.hpp"
#include "transport/verbs/hello.hpp"
#include "verbs_fixture.hpp"

/// Whom provider "verbs" lets in, seen by somebody who speaks its protocol without its code.
namespace grainfabric::transport {
namespace {

/// Somebody who speaks to an Acceptor by librdmacm alone, and has no queue pair.
class Asker {
 public:
  Asker(const Address& target, const verbs::HelloRequest& hello)
      : hello_(hello), channel_(rdma_create_event_channel()) {
    ::fcntl(channel_->fd, F_SETFL, O_NONBLOCK);
    rdma_cm_id* id = nullptr;
    EXPECT_EQ(rdma_create_id(channel_.get(), &id, nullptr, RDMA_PS_TCP), 0);
    id_.reset(id);
    sockaddr_storage to{};
    std::memcpy(&to, target.bytes.data(), target.bytes.size());
    EXPECT_EQ(rdma_resolve_addr(id, nullptr, reinterpret_cast<sockaddr*>(&to), 2000), 0);
  }

  /// Whether the answer is there: granted() or not.
  bool is_answered() {
    rdma_cm_event* event = nullptr;
    while (!answer_ && rdma_get_cm_event(channel_.get(), &event) == 0) {
      const rdma_cm_event_type type = event->event;
      rdma_ack_cm_event(event);
      if (type == RDMA_CM_EVENT_ADDR_RESOLVED) {
        EXPECT_EQ(rdma_resolve_route(id_.get(), 2000), 0);
      } else if (type == RDMA_CM_EVENT_ROUTE_RESOLVED) {
        rdma_conn_param wanted{};
        wanted.private_data = &hello_;
        wanted.private_data_len = sizeof hello_;
        // A number that is taken would be turned away by the kernel already.
        static std::uint32_t number = 4242;
        wanted.qp_num = number++;
        EXPECT_EQ(rdma_connect(id_.get(), &wanted), 0);
      } else {
        answer_ = type;
      }
    }
    return answer_.has_value();
  }
  [[nodiscard]] bool granted() const { return answer_ == RDMA_CM_EVENT_CONNECT_RESPONSE; }
  [[nodiscard]] bool turned_away() const { return answer_ == RDMA_CM_EVENT_REJECTED; }

 private:
  verbs::HelloRequest hello_;
  verbs::EventChannel channel_;
  verbs::ConnectionId id_;
  std::optional<rdma_cm_event_type> answer_;
};

class VerbsAcceptor : public VerbsTransport {
 protected:
  /// Whoever asks `target` for queue pair `index` of `count`, answered.
  static std::unique_ptr<Asker> ask(Pair* pair, int count, int index) {
    auto asker = std::make_unique<Asker>(
        pair->target->address(),
        verbs::HelloRequest{{verbs::kHelloVersion, 5, static_cast<std::uint8_t>(count),
                             static_cast<std::uint8_t>(index)},
                            pair->token});
    // The asker's own descriptor is not in the loop.
    const auto deadline = TestClock::now() + 3s;
    while (!asker->is_answered() && TestClock::now() < deadline) pair->loop.run_for(2ms);
    EXPECT_TRUE(asker->granted() || asker->turned_away()) << index << " of " << count;
    return asker;
  }
};

TEST_F(VerbsAcceptor, turns_hostile_numbers_of_queue_pairs_away_and_goes_on_listening) {
  Pair pair(with({}));
  pair.listen();
  for (const auto& [count, index] : std::vector<std::pair<int, int>>{
           {0, 0}, {1, 1}, {4, 4}, {4, 255}, {17, 0}, {200, 0}, {255, 254}, {4, 1}, {16, 15}}) {
    EXPECT_TRUE(ask(&pair, count, index)->turned_away()) << index << " of " << count;
  }
  EXPECT_TRUE(logged("it speaks another protocol")) << log_text();
  EXPECT_TRUE(logged("it did not ask for its first queue pair")) << log_text();
  EXPECT_TRUE(pair.target_events.closed.empty());
  pair.dial();
  EXPECT_TRUE(pair.loop.run_until(
      [&] { return pair.initiator_events.connected == 1 && pair.target_events.connected == 1; }));
}

TEST_F(VerbsAcceptor, grants_each_queue_pair_once_and_gives_up_in_time_on_who_stops_asking) {
  Pair pair(with({}));
  pair.listen();
  const auto start = TestClock::now();
  const auto first = ask(&pair, 3, 0);
  EXPECT_TRUE(first->granted());
  EXPECT_TRUE(ask(&pair, 3, 0)->turned_away());
  EXPECT_TRUE(ask(&pair, 3, 2)->turned_away());
  EXPECT_TRUE(ask(&pair, 4, 1)->turned_away());
  const auto second = ask(&pair, 3, 1);
  EXPECT_TRUE(second->granted());
  EXPECT_TRUE(ask(&pair, 3, 1)->turned_away());
  EXPECT_TRUE(logged("already connected")) << log_text();
  EXPECT_TRUE(pair.target_events.closed.empty());
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.target_events.closed.empty(); },
                                  kConnectTimeout + 1s));
  EXPECT_LT(TestClock::now() - start, kConnectTimeout + 1s);
  EXPECT_EQ(pair.target_events.closed[0].code(), ErrorCode::timed_out)
      << pair.target_events.closed[0].what();
  EXPECT_EQ(pair.target_events.connected, 0);
}

TEST_F(VerbsAcceptor, closes_when_one_of_the_queue_pairs_goes_before_all_stand) {
  Pair pair(with({}));
  pair.listen();
  auto first = ask(&pair, 2, 0);
  EXPECT_TRUE(first->granted());
  first.reset();
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.target_events.closed.empty(); }));
  EXPECT_EQ(pair.target_events.closed[0].code(), ErrorCode::disconnected)
      << pair.target_events.closed[0].what();
}

}  // namespace
}  // namespace grainfabric::transport
