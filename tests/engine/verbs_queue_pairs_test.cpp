// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "verbs_fixture.hpp"

/// What provider "verbs" does with more than one queue pair.
namespace grainfabric::transport {
namespace {

/// With the option queue-pairs; each test over one and over two completion queues.
class VerbsQueuePairs : public VerbsTransport, public testing::WithParamInterface<const char*> {
 protected:
  static Options several(Options options = {}) {
    options.insert({{"queue-pairs", "4"}, {"cqs-per-device", GetParam()}});
    return options;
  }
};

std::size_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST_P(VerbsQueuePairs, give_up_order_for_depth) {
  const auto domain = Table::shared().open(with(several({{"max-wr", "32"}})));
  EXPECT_FALSE(domain->capabilities().ordered);
  EXPECT_EQ(domain->capabilities().write_depth, 4 * 32U);
  EXPECT_TRUE(Table::shared().open(with({}))->capabilities().ordered);
}

TEST_P(VerbsQueuePairs, carry_many_writes) {
  Pair pair(with(several({{"max-wr", "16"}})));
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 1500, 3000);
  EXPECT_TRUE(pair.initiator_events.closed.empty());
}

TEST_P(VerbsQueuePairs, carry_writes_of_many_requests) {
  Pair pair(with(several({{"slice-size", "16384"}})));
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 13, 700'001);
}

TEST_P(VerbsQueuePairs, each_fetch_what_is_read) {
  Pair pair(with(several({{"max-wr", "16"}})));
  ASSERT_TRUE(pair.connect());
  constexpr std::size_t kCount = 300;
  constexpr std::size_t kSize = 5000;
  Registered there(*pair.target_domain, kCount * kSize, Access::remote);
  Registered here(*pair.initiator_domain, kCount * kSize, Access::local);
  there.fill(3);
  for (std::size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(pair.insist([&] {
      return pair.initiator->read(here.piece(i * kSize, kSize), there.remote().address + i * kSize,
                                  there.remote().key, i);
    }),
              Posted::ok);
  }
  EXPECT_TRUE(
      pair.loop.run_until([&] { return pair.initiator_events.completed.size() == kCount; }));
  EXPECT_EQ(here.bytes, there.bytes);
}

TEST_P(VerbsQueuePairs, keep_messages_in_order_between_writes) {
  Pair pair(with(several()));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 20'000, Access::remote);
  Registered source(*pair.initiator_domain, 20'000, Access::local);
  const LocalPiece pieces[] = {source.piece(0, 20'000)};
  std::vector<std::string> sent;
  for (std::uint32_t i = 0; i < 200; ++i) {
    sent.push_back("message " + std::to_string(i));
    for (Endpoint* from : {pair.initiator.get(), pair.target.get()}) {
      ASSERT_EQ(pair.insist([&] { return from->send(as_message(sent.back()), i); }), Posted::ok);
    }
    ASSERT_EQ(pair.insist([&] {
      return pair.initiator->write(pieces, ring.remote().address, ring.remote().key, i, i);
    }),
              Posted::ok);
  }
  EXPECT_TRUE(pair.loop.run_until([&] {
    return pair.target_events.messages.size() == 200 &&
           pair.initiator_events.messages.size() == 200 &&
           pair.target_events.immediates.size() == 200;
  }));
  EXPECT_EQ(pair.target_events.messages, sent);
  EXPECT_EQ(pair.initiator_events.messages, sent);
}

TEST_P(VerbsQueuePairs, keep_injected_writes_in_order) {
  Pair pair(with(several()));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 4096, Access::remote);
  std::vector<std::uint32_t> sent(500);
  std::iota(sent.begin(), sent.end(), 0U);
  for (const std::uint32_t i : sent) {
    ASSERT_EQ(pair.insist([&] {
      return pair.initiator->inject_write(as_message("credit"), ring.remote().address,
                                          ring.remote().key, i);
    }),
              Posted::ok);
  }
  EXPECT_TRUE(pair.loop.run_until([&] { return pair.target_events.immediates.size() == 500; }));
  EXPECT_EQ(pair.target_events.immediates, sent);
}

TEST_P(VerbsQueuePairs, take_the_place_of_one_that_is_full) {
  Options options = several({{"max-wr", "8"}, {"slice-size", "4096"}});
  options["queue-pairs"] = "2";
  Pair pair(with(options));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 16384, Access::remote);
  Registered source(*pair.initiator_domain, 16384, Access::local);
  const auto write = [&](std::size_t requests) {
    const LocalPiece pieces[] = {source.piece(0, requests * 4096)};
    return pair.initiator->write(pieces, ring.remote().address, ring.remote().key, 1U, 1);
  };
  // Nothing completes meanwhile. In turn: the first gets 4 + 4 requests of its 8, the second 1 + 1.
  for (const std::size_t requests : {4, 1, 4, 1}) EXPECT_EQ(write(requests), Posted::ok);
  EXPECT_EQ(write(4), Posted::ok);  // the first is full: the second has 6
  EXPECT_EQ(write(4), Posted::again);
  EXPECT_EQ(write(1), Posted::ok);
  EXPECT_EQ(write(1), Posted::ok);
  EXPECT_EQ(write(1), Posted::again);
  EXPECT_TRUE(pair.loop.run_until([&] { return pair.target_events.immediates.size() == 7; }));
}

TEST_P(VerbsQueuePairs, are_as_many_as_the_initiator_says) {
  for (const bool initiator_has_more : {true, false}) {
    Pair pair(with(initiator_has_more ? Options{} : several()));
    pair.initiator_domain = Table::shared().open(
        Pair::from_other_end(with(initiator_has_more ? several() : Options{{"max-wr", "16"}})));
    ASSERT_TRUE(pair.connect());
    expect_writes_arrive(pair, 400, 3000);
    // A target's user may count on the order that its own domain promises.
    Registered back(*pair.initiator_domain, 4096, Access::remote);
    Registered source(*pair.target_domain, 4096, Access::local);
    const LocalPiece pieces[] = {source.piece(0, 4096)};
    pair.initiator_events.immediates.clear();
    for (std::uint32_t i = 0; i < 50; ++i) {
      ASSERT_EQ(pair.insist([&] {
        return pair.target->write(pieces, back.remote().address, back.remote().key, i, i);
      }),
                Posted::ok);
    }
    EXPECT_TRUE(pair.loop.run_until([&] { return pair.initiator_events.immediates.size() == 50; }));
    if (initiator_has_more) {
      EXPECT_TRUE(std::is_sorted(pair.initiator_events.immediates.begin(),
                                 pair.initiator_events.immediates.end()));
    }
  }
}

TEST_P(VerbsQueuePairs, may_be_sixteen) {
  Options options = several();
  options["queue-pairs"] = "16";
  Pair pair(with(options));
  const bool one_queue = std::string(GetParam()) == "1";
  EXPECT_TRUE(logged(one_queue ? "max-wr asked 256, got 85 (a third of max-cqe, which holds sends "
                                 "and receives of 16 queue pairs)"
                               : "max-wr asked 256, got 170 (a third of max-cqe"))
      << log_text();
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 400, 3000);
}

TEST_P(VerbsQueuePairs, without_room_in_the_completion_queue_are_an_error) {
  const Error error = opening_error(with(several({{"max-cqe", "16"}})));
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.failure().find("16 entries (max-cqe)"), std::string::npos) << error.what();
  EXPECT_NE(error.remedy().find("queue-pairs"), std::string::npos) << error.what();
  // The same where the other side asks for them.
  Pair pair(with({{"max-cqe", "16"}}));
  pair.initiator_domain = Table::shared().open(Pair::from_other_end(with(several())));
  pair.listen();
  pair.dial();
  EXPECT_TRUE(pair.loop.run_until(
      [&] { return !pair.target_events.closed.empty() && !pair.initiator_events.closed.empty(); }));
  EXPECT_EQ(pair.target_events.closed.at(0).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(pair.initiator_events.connected + pair.target_events.connected, 0);
}

TEST_P(VerbsQueuePairs, end_together_when_the_peer_goes) {
  for (const bool target_goes : {true, false}) {
    Pair pair(with(several()));
    ASSERT_TRUE(pair.connect());
    Registered ring(*pair.target_domain, 1'000'000, Access::remote);
    Registered source(*pair.initiator_domain, 1'000'000, Access::local);
    const LocalPiece pieces[] = {source.piece(0, 1'000'000)};
    for (std::uint32_t i = 0; i < 40; ++i) {
      ASSERT_EQ(pair.initiator->write(pieces, ring.remote().address, ring.remote().key, i, i),
                Posted::ok);
    }
    target_goes ? pair.drop_target() : pair.drop_initiator();
    Recorder& left = target_goes ? pair.initiator_events : pair.target_events;
    ASSERT_TRUE(pair.loop.run_until([&] { return !left.closed.empty(); }, 1s));
    EXPECT_EQ(left.closed[0].code(), ErrorCode::disconnected) << left.closed[0].what();
    pair.loop.run_for(20ms);
    EXPECT_EQ(left.closed.size(), 1U);
    EXPECT_EQ(left.after_close, 0);
  }
}

TEST_P(VerbsQueuePairs, leave_no_file_open) {
  Pair pair(with(several({{"max-wr", "16"}})));
  const std::size_t before = open_files();
  for (int round = 0; round < 50; ++round) {
    pair.target_events = Recorder();
    pair.initiator_events = Recorder();
    ASSERT_TRUE(pair.connect()) << round;
    if (round % 2 == 0) {
      pair.drop_target();
      pair.drop_initiator();
    } else {
      pair.drop_initiator();
      pair.drop_target();
    }
  }
  EXPECT_EQ(open_files(), before);
  EXPECT_FALSE(logged("did not close")) << log_text();
}

INSTANTIATE_TEST_SUITE_P(CompletionQueues, VerbsQueuePairs, testing::Values("1", "2"));

}  // namespace
}  // namespace grainfabric::transport
