// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>

#include <filesystem>

#include "session_child.hpp"
#include "session_pair.hpp"

/// What a session over "local" has of its own: memory that is lent and not copied.
namespace grainfabric::test {
namespace {

using PushResult = Initiator::PushResult;

/// A grain in a Region, as a buffer pool has it.
struct Lent {
  std::shared_ptr<Region> region = Region::create(3 * kPageSize, "lent");
  std::atomic<int> released{0};

  Initiator::PushResult push(Sender& sender, std::size_t offset, std::size_t size) {
    const PayloadPart part{region->bytes().subspan(offset, size), region};
    OutgoingGrain grain;
    grain.payload = {&part, 1};
    grain.release = {[](void* self) { ++static_cast<Lent*>(self)->released; }, this};
    return sender->push(grain, {});
  }
};

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

}  // namespace
}  // namespace grainfabric::test
