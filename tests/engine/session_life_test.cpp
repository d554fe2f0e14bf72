// SPDX-License-Identifier: Apache-2.0
// Beginnings and ends: options, addresses, destruction in every order, many sessions at once.
#include <filesystem>

#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

/// How many names in `folder` begin with `prefix`.
std::size_t entries_of(const char* folder, const std::string& prefix = {}) {
  const std::filesystem::directory_iterator entries(folder);
  return static_cast<std::size_t>(std::count_if(begin(entries), end(entries), [&](const auto& one) {
    return one.path().filename().string().starts_with(prefix);
  }));
}

class SessionLife : public OverProviders {};
OVER_PROVIDERS(SessionLife);

TEST_P(SessionLife, a_target_may_go_while_its_slots_are_held) {
  std::vector<IncomingGrain> held;
  {
    Receiver receiver(with_provider(GetParam()));
    Sender sender(to(receiver, GetParam()));
    sender->start();
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(sender.push({50'000, 10, 1}), PushResult::accepted);
      auto grain = receiver.pop_grain();
      ASSERT_TRUE(grain);
      held.push_back(std::move(*grain));
    }
    held.pop_back();
  }
  for (const IncomingGrain& grain : held) EXPECT_TRUE(is_whole(grain));
  held.clear();
}

TEST_P(SessionLife, slots_may_be_released_while_their_target_goes) {
  for (int round = 0; round < 10; ++round) {
    auto receiver = std::make_unique<Receiver>(with_provider(GetParam()));
    Sender sender(to(*receiver, GetParam()));
    sender->start();
    ASSERT_TRUE(sender.push_many(4));
    std::vector<IncomingGrain> held;
    for (int i = 0; i < 4; ++i) {
      auto grain = receiver->pop_grain();
      ASSERT_TRUE(grain);
      held.push_back(std::move(*grain));
    }
    std::thread releaser([&] { held.clear(); });
    receiver.reset();
    releaser.join();
  }
}

TEST_P(SessionLife, either_end_may_go_first_with_grains_in_flight) {
  for (int round = 0; round < 10; ++round) {
    auto receiver = std::make_unique<Receiver>(with_provider(GetParam()));
    auto sender = std::make_unique<Sender>(to(*receiver, GetParam()));
    (*sender)->start();
    if (round % 5 != 4) {  // and once before there is a session at all
      ASSERT_TRUE(sender->push_many(1 + round % 4, {2'000'000, 10, 1}));
    }
    if (round % 2 == 0) {
      receiver.reset();
      sender.reset();
    } else {
      sender.reset();
      receiver.reset();
    }
  }
}

TEST_P(SessionLife, a_hundred_cycles_leave_nothing_behind) {
  const auto cycle = [] {
    Receiver receiver(with_provider(GetParam()));
    Sender sender(to(receiver, GetParam()));
    sender->start();
    EXPECT_EQ(sender.push(), PushResult::accepted);
    EXPECT_TRUE(next_is(receiver, 1));
    sender->stop();
  };
  cycle();  // what a library keeps for the process comes with the first
  const std::size_t descriptors = entries_of("/proc/self/fd");
  // Others of this host use it, too; what libfabric puts there begins with the process's number.
  const std::string own = std::to_string(::getpid()) + ":";
  const std::size_t shared = entries_of("/dev/shm", own);
  const int cycles = std::string(GetParam()) == "tcp" ? 100 : 10;
  for (int i = 0; i < cycles; ++i) cycle();
  EXPECT_LE(entries_of("/proc/self/fd"), descriptors + 2);
  EXPECT_LE(entries_of("/dev/shm", own), shared);
}

void stream(std::shared_ptr<EventLoop> sending, std::shared_ptr<EventLoop> receiving,
            const char* provider) {
  Receiver receiver(with_provider(provider), std::move(receiving));
  Sender sender(to(receiver, provider), std::move(sending));
  sender->start();
  std::thread pusher([&] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(sender.push({30'000, 20, 1}), PushResult::accepted);
      if (i % 10 == 0) sender.push_event("e");
    }
    sender->stop();
  });
  std::uint64_t grains = 0;
  while (grains < 50) {
    auto incoming = receiver.pop();
    if (!incoming) break;
    const auto* grain = std::get_if<IncomingGrain>(&*incoming);
    if (grain == nullptr) continue;
    EXPECT_TRUE(is_whole(*grain));
    EXPECT_EQ(grain->info.pts, ++grains);
    static_cast<void>(receiver->stats());
  }
  EXPECT_EQ(grains, 50U);
  pusher.join();
}

TEST_P(SessionLife, several_pairs_stream_at_once_on_one_loop) {
  const auto loop = std::make_shared<EventLoop>();
  std::vector<std::thread> pairs;
  for (int i = 0; i < 4; ++i) pairs.emplace_back([&] { stream(loop, loop, GetParam()); });
  for (std::thread& pair : pairs) pair.join();
}

TEST_P(SessionLife, each_end_may_have_a_loop_of_its_own) {
  std::vector<std::thread> pairs;
  for (int i = 0; i < 3; ++i) {
    pairs.emplace_back(
        [&] { stream(std::make_shared<EventLoop>(), std::make_shared<EventLoop>(), GetParam()); });
  }
  for (std::thread& pair : pairs) pair.join();
}

TEST_P(SessionLife, every_way_of_polling_moves_grains) {
  for (const Polling polling : {Polling::event, Polling::adaptive, Polling::busy}) {
    TargetOptions options = with_provider(GetParam());
    options.polling = polling;
    Receiver receiver(options);
    InitiatorOptions sending = to(receiver, GetParam());
    sending.polling = polling;
    Sender sender(sending);
    sender->start();
    ASSERT_TRUE(sender.push_many(3));
    for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(next_is(receiver, i));
  }
}

TEST(SessionAddress, names_and_both_ip_versions_lead_to_a_target_that_listens_on_all) {
  TargetOptions options;
  options.port = 0;
  Receiver receiver(options);
  for (const char* host : {"127.0.0.1", "localhost", "::1"}) {
    if (std::string(host) == "::1") {
      try {
        static_cast<void>(Target({.address = "::1", .port = 0}, receiver.heard));
        Receiver probe({.address = "::1", .port = 0});
      } catch (const Error&) {
        continue;  // a host without IPv6
      }
    }
    InitiatorOptions sending = to(receiver);
    sending.host = host;
    Sender sender(sending);
    sender->start();
    ASSERT_EQ(sender.push(), PushResult::accepted) << host;
    EXPECT_TRUE(next_is(receiver, 1)) << host;
    sender->stop();
    ASSERT_TRUE(eventually([&] { return receiver->stats().peer.empty(); }));
  }
}

TEST(SessionAddress, an_interface_may_be_named_on_both_sides) {
  TargetOptions options = local();
  options.interface = "lo";
  Receiver receiver(options);
  InitiatorOptions sending = to(receiver);
  sending.interface = "127.0.0.1";
  Sender sender(sending);
  sender->start();
  ASSERT_EQ(sender.push(), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 1));
}

ErrorCode code_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::io;
}

TEST(SessionOptions, what_can_never_work_is_refused_at_once) {
  InitiatorHeard heard;
  TargetHeard target_heard;
  const auto initiator = [&](auto change) {
    return code_of([&] {
      InitiatorOptions options = to(1);
      change(options);
      Initiator one(options, heard);
    });
  };
  EXPECT_EQ(initiator([](auto& o) { o.host = ""; }), ErrorCode::invalid_argument);
  EXPECT_EQ(initiator([](auto& o) { o.port = 0; }), ErrorCode::invalid_argument);
  EXPECT_EQ(initiator([](auto& o) { o.slots = 1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(initiator([](auto& o) { o.slots = kMaxSlots + 1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(initiator([](auto& o) { o.provider = "pigeon"; }), ErrorCode::unknown_provider);
  EXPECT_EQ(initiator([](auto& o) { o.interface = "nowhere0"; }), ErrorCode::unknown_interface);
  const auto target = [&](auto change) {
    return code_of([&] {
      TargetOptions options = local();
      change(options);
      Target one(options, target_heard);
      one.start();
    });
  };
  EXPECT_EQ(target([](auto& o) { o.slots = 1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(target([](auto& o) { o.slots = kMaxSlots + 1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(target([](auto& o) { o.provider = "pigeon"; }), ErrorCode::unknown_provider);
  EXPECT_EQ(target([](auto& o) { o.interface = "nowhere0"; }), ErrorCode::unknown_interface);
  EXPECT_EQ(target([](auto& o) { o.address = "203.0.113.5"; }), ErrorCode::unknown_interface);
}

TEST(SessionOptions, a_port_in_use_is_an_error_that_says_so) {
  Receiver receiver;
  TargetHeard heard;
  EXPECT_EQ(code_of([&] {
              Target second(local(receiver->port()), heard);
              second.start();
            }),
            ErrorCode::address_in_use);
}

TEST(SessionOptions, a_host_that_has_no_address_is_a_failure) {
  InitiatorOptions options = to(1);
  options.host = "no..such..name";
  Sender sender(options);
  sender->start();
  EXPECT_EQ(sender.push(), PushResult::failed);
  ASSERT_TRUE(sender.heard.wait_for_failure());
  EXPECT_EQ(sender.heard.failures()[0].code(), ErrorCode::unresolvable);
}

TEST(SessionOptions, a_grain_that_no_ring_can_hold_is_a_failure) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  std::byte one{};
  const PayloadPart part{{&one, kMaxCapacity + 1}, nullptr};  // nobody reads it
  OutgoingGrain grain;
  grain.payload = std::span(&part, 1);
  EXPECT_EQ(sender->push(grain, {}), PushResult::failed);
  ASSERT_TRUE(sender.heard.wait_for_failure());
  EXPECT_EQ(sender.heard.failures()[0].code(), ErrorCode::invalid_argument);
}

TEST(SessionOptions, a_ring_that_memory_cannot_hold_fails_the_sender_and_leaves_the_target_be) {
  Receiver receiver;
  {
    InitiatorOptions options = to(receiver);
    options.slots = kMaxSlots;
    Sender sender(options);
    sender->start();
    sender->reserve(kMaxCapacity);
    ASSERT_TRUE(sender.heard.wait_for_failure());
    EXPECT_EQ(sender.heard.failures()[0].code(), ErrorCode::no_memory);
    EXPECT_TRUE(receiver.heard.wait_for(PeerChange::Kind::refused));
  }
  ASSERT_TRUE(eventually([&] { return receiver->stats().peer.empty(); }));
  Sender sender(to(receiver));
  sender->start();
  ASSERT_EQ(sender.push(), PushResult::accepted);
  EXPECT_TRUE(next_is(receiver, 1));
}

TEST(SessionStop, without_a_session_it_returns_at_once_and_none_begins_afterwards) {
  const std::uint16_t port = free_port();
  Sender never_started(to(port));
  never_started->stop();
  Sender sender(to(port));
  sender->start();
  EXPECT_LT(time_of([&] { sender->stop(); }), 500ms * kSlowdown);
  Receiver receiver(local(port));
  EXPECT_FALSE(receiver.heard.wait_for(PeerChange::Kind::connected, 1, 300ms));
}

TEST(SessionStop, a_connection_under_way_does_not_become_a_session_any_more) {
  for (int i = 0; i < 20; ++i) {
    Receiver receiver;
    InitiatorOptions options = to(receiver);
    options.connect_timeout = 50ms;
    Sender sender(options);
    sender->start();
    sender->stop();
    const bool early = sender.heard.count(PeerChange::Kind::connected) != 0;
    std::this_thread::sleep_for(10ms);
    EXPECT_EQ(sender.heard.count(PeerChange::Kind::connected) != 0, early);
    if (i == 0) std::this_thread::sleep_for(100ms);
    EXPECT_TRUE(sender.heard.failures().empty());  // nobody waits for a session any more
  }
}

TEST(SessionStop, flushing_breaks_it) {
  Receiver receiver;
  Sender sender(to(receiver));
  sender->start();
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected));
  sender->set_flushing(true);
  EXPECT_LT(time_of([&] { sender->stop(); }), 500ms * kSlowdown);
}

}  // namespace
}  // namespace grainfabric
