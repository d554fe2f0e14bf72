// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>

#include <filesystem>
#include <fstream>

#include "hostile.hpp"
#include "session_child.hpp"
#include "session_pair.hpp"
#include "transport/local/local.hpp"
#include "transport_pair.hpp"

/// What a session over "local" has of its own: memory that is lent and not copied.
namespace grainfabric::test {
namespace {

using PushResult = Initiator::PushResult;

TEST(SessionLocal, a_grain_is_the_very_page_that_was_pushed_and_read_only) {
  Lent lent;
  Receiver receiver(with_provider("local"));
  Sender sender(to(receiver, "local"));
  sender->start();
  lent.region->data()[kPageSize + 7] = std::byte{42};
  ASSERT_EQ(lent.push(sender, kPageSize, 100), PushResult::accepted);
  const auto grain = receiver.pop_grain();
  ASSERT_TRUE(grain);
  ASSERT_EQ(grain->payload.size(), 100U);
  EXPECT_EQ(grain->payload[7], std::byte{42});
  // A mark made afterwards is seen: there is one page, not two.
  EXPECT_NE(grain->payload.data(), lent.region->data() + kPageSize);
  lent.region->data()[kPageSize + 8] = std::byte{43};
  EXPECT_EQ(grain->payload[8], std::byte{43});
  const Region& memory = *grain->lease.memory();
  EXPECT_EQ(::fcntl(memory.read_only_fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(::mmap(nullptr, memory.size(), PROT_WRITE, MAP_SHARED, memory.read_only_fd(), 0),
            MAP_FAILED);
  const Stats stats = sender->stats();
  EXPECT_EQ(stats.bytes_copied, 0U);
  EXPECT_EQ(stats.grains_foreign, 0U);
}

TEST(SessionLocal, memory_is_lent_until_its_reader_lets_go) {
  Lent lent;
  Receiver receiver(with_provider("local"));
  Sender sender(to(receiver, "local"));
  sender->start();
  ASSERT_EQ(lent.push(sender, 0, 100), PushResult::accepted);
  auto grain = receiver.pop_grain();
  ASSERT_TRUE(grain);
  ASSERT_EQ(lent.push(sender, kPageSize, 100), PushResult::accepted);
  ASSERT_TRUE(receiver.pop_grain());  // and let go
  EXPECT_TRUE(eventually([&] { return lent.released == 1; }));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(lent.released, 1);
  grain.reset();
  EXPECT_TRUE(eventually([&] { return lent.released == 2; }));
}

TEST(SessionLocal, it_is_lent_beyond_the_end_of_the_session) {
  Lent lent;
  std::optional<IncomingGrain> grain;
  {
    Receiver receiver(with_provider("local"));
    Sender sender(to(receiver, "local"));
    sender->start();
    ASSERT_EQ(lent.push(sender, 0, 100), PushResult::accepted);
    grain = receiver.pop_grain();
    ASSERT_TRUE(grain);
    sender->stop();
    sender.end();
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(lent.released, 0);
    receiver.end();
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(lent.released, 0);
  }
  grain.reset();
  EXPECT_TRUE(eventually([&] { return lent.released == 1; }));
}

TEST(SessionLocal, a_killed_reader_gives_everything_back) {
  Lent lent;
  {
    Child target("target", 0, "local");
    const std::string up = target.line();
    ASSERT_EQ(up.rfind("up ", 0), 0U) << up;
    Sender sender(to(static_cast<std::uint16_t>(std::atoi(up.c_str() + 3)), "local"));
    sender->start();
    ASSERT_EQ(lent.push(sender, 0, 100), PushResult::accepted);
    ASSERT_NE(target.line(), "");
    EXPECT_TRUE(eventually([&] { return lent.released == 1; }));
    target.freeze();
    for (std::size_t i = 1; i <= 3; ++i) {
      ASSERT_EQ(lent.push(sender, i * 100, 100), PushResult::accepted);
    }
    sender.end();  // it is frozen, not dead: it may go on to read them
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(lent.released, 1);
    target.kill();
    EXPECT_TRUE(eventually([&] { return lent.released == 4; }));
  }
}

TEST(SessionLocal, more_files_than_a_peer_takes_at_a_time_go_without_a_copy) {
  Receiver receiver(with_provider("local"));
  Sender sender(to(receiver, "local"));
  sender->start();
  std::vector<std::unique_ptr<Lent>> lent;
  for (int i = 0; i < 1100; ++i) lent.push_back(std::make_unique<Lent>());
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < lent.size(); ++i) {
      lent[i]->region->data()[0] = static_cast<std::byte>(i * 3);
      ASSERT_EQ(lent[i]->push(sender, 0, 100), PushResult::accepted);
      const auto grain = receiver.pop_grain();
      ASSERT_TRUE(grain) << i;
      ASSERT_EQ(grain->payload[0], static_cast<std::byte>(i * 3));
    }
  }
  EXPECT_EQ(sender->stats().bytes_copied, 0U);
  EXPECT_EQ(sender->stats().reconnects, 0U);
  sender.end();
  EXPECT_TRUE(eventually([&] { return lent.back()->released == 2; }));
}

TEST(SessionLocal, the_peer_lets_go_of_memory_that_is_gone) {
  const auto times_mapped = [] {
    std::ifstream maps("/proc/self/maps");
    int times = 0;
    for (std::string line; std::getline(maps, line);) {
      times += line.find("memfd:lent ") != std::string::npos ? 1 : 0;
    }
    return times;
  };
  Receiver receiver(with_provider("local"));
  Sender sender(to(receiver, "local"));
  sender->start();
  auto lent = std::make_unique<Lent>();
  ASSERT_EQ(lent->push(sender, 0, 100), PushResult::accepted);
  ASSERT_TRUE(receiver.pop_grain());
  ASSERT_TRUE(eventually([&] { return lent->released == 1; }));
  EXPECT_EQ(times_mapped(), 2);  // on either side, both in this process
  lent.reset();
  // Without any other grain that would need to share memory.
  EXPECT_TRUE(eventually([&] { return times_mapped() == 0; }));
}

/// An initiator that shares `file` and no more.
void share_with(Receiver& receiver, int file) {
  RawPeer peer(receiver->port());
  protocol::Hello hello = a_hello();
  hello.offers = {"local"};
  hello.host_hint = transport::local::same_host_hint({});
  peer.say(number(protocol::Type::hello), hello.encode());
  ASSERT_TRUE(peer.hear_type(number(protocol::Type::welcome)));
  const auto domain = transport::Table::shared().open({"local", ""});
  const transport::Registered credit(*domain, 8, transport::Access::remote);
  protocol::Config config = a_config();
  config.credit = credit.remote();
  peer.say(number(protocol::Type::config), config.encode());
  const auto message = peer.hear_type(number(protocol::Type::ring));
  ASSERT_TRUE(message);
  const protocol::Ring ring = protocol::Ring::decode(message->fields.get());
  transport::Recorder events;
  const auto endpoint = domain->connect(ring.address, ring.token, events);
  transport::PollLoop loop;
  loop.add(*endpoint);
  ASSERT_TRUE(loop.run_until([&] { return events.connected == 1; }, kPatience));
  ASSERT_EQ(endpoint->share(1, file), transport::Posted::ok);
  loop.run_until([&] { return receiver.heard.count(PeerChange::Kind::disconnected) == 1; },
                 kPatience);
}

TEST(SessionLocal, a_peer_that_shares_what_it_could_cut_is_left) {
  std::vector<UniqueFd> files;
  files.emplace_back(::memfd_create("cut", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  std::string name = ::testing::TempDir() + "cut-XXXXXX";
  files.emplace_back(::mkstemp(name.data()));
  ::unlink(name.c_str());
  for (const UniqueFd& file : files) {
    ASSERT_EQ(::ftruncate(file.get(), 1 << 20), 0);
    Receiver receiver(with_provider("local"));
    ASSERT_NO_FATAL_FAILURE(share_with(receiver, file.get()));
    const auto changes = receiver.heard.changes(PeerChange::Kind::disconnected);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_NE(changes.front().reason.find("take away"), std::string::npos)
        << changes.front().reason;
  }
}

TEST(SessionLocal, auto_takes_it_on_one_host) {
  Receiver receiver;
  Sender sender(to(receiver, "auto"));
  sender->start();
  ASSERT_TRUE(sender.push_many(1));
  EXPECT_TRUE(next_is(receiver, 1));
  EXPECT_EQ(sender->stats().provider, "local");
}

TEST(SessionLocal, sides_that_share_no_directory_take_the_next_and_say_why) {
  const std::string folder = ::testing::TempDir();
  TargetOptions options = local();
  options.transport_options["local"]["socket-directory"] = folder;
  Receiver receiver(options);
  Sender sender(to(receiver, "auto"));
  sender->start();
  ASSERT_TRUE(sender.push_many(1));
  EXPECT_TRUE(next_is(receiver, 1));
  EXPECT_NE(sender->stats().provider, "local");
  EXPECT_NE(sender->stats().provider_reason.find("not local"), std::string::npos)
      << sender->stats().provider_reason;
}

TEST(SessionLocal, who_asks_for_nothing_else_hears_why_not) {
  TargetOptions options = local();
  options.transport_options["local"]["socket-directory"] = ::testing::TempDir();
  Receiver receiver(options);
  Sender sender(to(receiver, "local"));
  sender->start();
  ASSERT_TRUE(sender.heard.wait_for_failure());
  const std::string reason = sender.heard.failures().front().what();
  EXPECT_NE(reason.find("not local: the two are on different hosts"), std::string::npos) << reason;
}

TEST(SessionLocal, a_directory_that_both_share_serves_and_is_left_as_it_was) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / ("grainfabric-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  {
    TargetOptions options = with_provider("local");
    options.transport_options["local"]["socket-directory"] = folder.string();
    Receiver receiver(options);
    InitiatorOptions initiator = to(receiver, "local");
    initiator.transport_options["local"]["socket-directory"] = folder.string();
    Sender sender(initiator);
    sender->start();
    ASSERT_TRUE(sender.push_many(3, {100'000, 5000, 3}));  // of system memory: copied
    for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(next_is(receiver, i, 100'000));
    EXPECT_EQ(sender->stats().bytes_copied, 300'000U);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
}

// ---- streaming threads that serve the connection themselves ------------------------------------

TEST(SessionLocal, grains_arrive_although_nobody_pops_any_more) {
  Receiver receiver(with_provider("local"));
  Sender sender(to(receiver, "local"));
  sender->start();
  ASSERT_TRUE(sender.push_many(1));
  ASSERT_TRUE(next_is(receiver, 1));  // from now on pop() is expected to look
  ASSERT_TRUE(sender.push_many(3));
  EXPECT_TRUE(sender->drain(kPatience));
  EXPECT_EQ(receiver->stats().grains, 4U);
  for (std::uint64_t i = 2; i <= 4; ++i) EXPECT_TRUE(next_is(receiver, i));
}

TEST(SessionLocal, what_was_lent_comes_back_although_nobody_pushes_any_more) {
  Lent lent;
  Receiver receiver(with_provider("local"));
  InitiatorOptions options = to(receiver, "local");
  options.slots = 8;
  Sender sender(options);
  sender->start();
  constexpr int kGrains = 6;
  std::vector<IncomingGrain> held;
  for (int i = 0; i < kGrains; ++i) {
    ASSERT_EQ(lent.push(sender, 0, 100), PushResult::accepted);
    auto grain = receiver.pop_grain();
    ASSERT_TRUE(grain);
    held.push_back(std::move(*grain));
  }
  // Two of them from a thread that has nothing to do with the session.
  std::thread([&] { held.resize(kGrains - 2); }).join();
  EXPECT_TRUE(eventually([&] { return lent.released == 2; }));
  held.clear();
  EXPECT_TRUE(eventually([&] { return lent.released == kGrains; }));
}

TEST(SessionLocal, a_drop_is_not_for_want_of_a_look) {
  constexpr int kRounds = 100;
  Lent lent;
  Receiver receiver(with_provider("local"));
  InitiatorOptions options = to(receiver, "local");
  options.slots = 2;
  Sender sender(options);
  sender->start();
  int rounds_with_drops = 0;
  for (int round = 0; round < kRounds; ++round) {
    // The reader has let go of all slots, and told it; no push has looked since.
    int accepted = 0;
    for (std::size_t i = 0; i < options.slots; ++i) {
      const PayloadPart part{lent.region->bytes().first(100), lent.region};
      OutgoingGrain grain;
      grain.payload = {&part, 1};
      // The first waits for the session.
      const Initiator::PushPolicy policy{round == 0, true};
      if (sender->push(grain, policy) == PushResult::accepted) ++accepted;
    }
    for (int i = 0; i < accepted; ++i) ASSERT_TRUE(receiver.pop_grain());
    if (accepted < 2) {
      ++rounds_with_drops;
      // A drop takes no time: without a pause all that is left would be dropped while another
      // thread has the session in hand.
      std::this_thread::sleep_for(2ms);
    }
  }
  // Some may be: where the loop is at work, credits come a little later than their grain was
  // popped. Without a look every second would be.
  EXPECT_LT(rounds_with_drops, kRounds / 5);
}

/// How long `wait`, on a thread of its own, goes on after `wake`.
template <class Wait, class Wake>
std::chrono::steady_clock::duration time_to_wake(Wait wait, Wake wake) {
  std::atomic<bool> woken{false};
  std::thread waiting([&] {
    wait();
    woken = true;
  });
  std::this_thread::sleep_for(150ms);  // it sleeps by now
  EXPECT_FALSE(woken);
  const auto begin = std::chrono::steady_clock::now();
  wake();
  waiting.join();
  return std::chrono::steady_clock::now() - begin;
}

TEST(SessionLocal, a_reader_that_sleeps_is_woken_by_whatever_comes) {
  Receiver receiver(with_provider("local"));
  Sender sender(to(receiver, "local"));
  sender->start();
  ASSERT_TRUE(sender.push_many(1));
  ASSERT_TRUE(next_is(receiver, 1));
  EXPECT_LT(time_to_wake([&] { EXPECT_TRUE(next_is(receiver, 2)); },
                         [&] { EXPECT_TRUE(sender.push_many(1)); }),
            1s);
  EXPECT_LT(time_to_wake([&] { EXPECT_EQ(receiver.pop_event(), "news"); },
                         [&] { sender.push_event("news"); }),
            1s);
  EXPECT_LT(time_to_wake([&] { EXPECT_FALSE(receiver->pop(kPatience)); },
                         [&] { receiver->set_flushing(true); }),
            1s);
}

TEST(SessionLocal, a_writer_that_sleeps_is_woken_by_whatever_comes) {
  Receiver receiver(with_provider("local"));
  InitiatorOptions options = to(receiver, "local");
  options.slots = 2;
  Sender sender(options);
  sender->start();
  ASSERT_TRUE(sender.push_many(2));
  EXPECT_LT(time_to_wake([&] { EXPECT_TRUE(sender.push_many(1)); },
                         [&] { EXPECT_TRUE(next_is(receiver, 1)); }),
            1s);
  EXPECT_LT(time_to_wake([&] { EXPECT_EQ(sender.push(), PushResult::flushing); },
                         [&] { sender->set_flushing(true); }),
            1s);
  sender->set_flushing(false);
  EXPECT_LT(time_to_wake(
                [&] {
                  EXPECT_EQ(sender.push({}, {true, false}), PushResult::dropped);
                },
                [&] { receiver.end(); }),
            1s);
}

TEST(SessionLocal, a_reader_that_sleeps_survives_the_death_of_its_writer) {
  Receiver receiver(with_provider("local"));
  Child initiator("initiator", receiver->port(), "local");
  ASSERT_TRUE(receiver.pop_grain());
  std::thread reader([&] {
    while (receiver.pop(500ms)) {
    }
  });
  initiator.kill();
  EXPECT_TRUE(receiver.heard.wait_for(PeerChange::Kind::disconnected));
  reader.join();
}

}  // namespace
}  // namespace grainfabric::test
