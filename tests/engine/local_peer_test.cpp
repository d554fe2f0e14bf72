// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "transport/local/limits.hpp"
#include "transport/local/queue.hpp"
#include "transport/local/socket.hpp"
#include "transport/table.hpp"

/// What an endpoint does about a peer that says whatever it likes.
namespace grainfabric::transport::local {
namespace {

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

struct Events final : EndpointEvents {
  void on_connected() override { ++connected; }
  void on_completed(std::uint64_t /*context*/) override {}
  void on_immediate(std::uint32_t /*immediate*/) override {}
  void on_message(std::span<const std::byte> /*message*/) override {}
  void on_shared(std::uint32_t id, UniqueFd file) override { shared[id] = std::move(file); }
  void on_unshared(std::uint32_t id) override { shared.erase(id); }
  void on_closed(const Error& reason) override { closed.push_back(reason); }

  int connected = 0;
  std::map<std::uint32_t, UniqueFd> shared;
  std::vector<Error> closed;
};

/// An endpoint that accepts, and a peer that has shown it the token.
struct LocalPeer : testing::Test {
  std::unique_ptr<Domain> domain = Table::shared().open({"local", "", {}});
  Events events;
  const Token token = Token::random();
  std::unique_ptr<Endpoint> endpoint = domain->accept(token, events);
  std::shared_ptr<QueueMemory> memory = QueueMemory::create();
  QueueWriter writer{memory, 0};
  QueueReader reader{memory, 1};
  UniqueFd socket = SocketName::of(endpoint->address(), {}).connect();

  void SetUp() override {
    constexpr std::uint64_t kMagic = 0x314C434F4C4647;
    std::array<std::byte, 24> hello;
    std::memcpy(hello.data(), &kMagic, sizeof kMagic);
    std::memcpy(hello.data() + sizeof kMagic, token.bytes.data(), token.bytes.size());
    ASSERT_TRUE(send_packet(socket.get(), hello, memory->fd()));
    turn();
    ASSERT_EQ(events.connected, 1);
  }

  /// What the loop does when there is something.
  void turn() {
    static_cast<void>(endpoint->arm());
    endpoint->progress();
  }
  bool say(const Frame& frame) {
    if (writer.place(frame.length) == nullptr) return false;
    constexpr std::byte kWake{};
    if (writer.commit(frame)) send_packet(socket.get(), {&kWake, 1});
    return true;
  }
  bool say(Kind kind, std::uint32_t id) {
    Frame frame;
    frame.kind = kind;
    frame.id = id;
    return say(frame);
  }
  bool give(std::uint32_t id) {
    return send_packet(socket.get(), std::as_bytes(std::span(&id, 1)), memory->fd());
  }
  bool share(std::uint32_t id) {
    return writer.place(0) != nullptr && give(id) && say(Kind::share, id);
  }
  void expect_thrown_out() {
    for (int i = 0; i < 10 && events.closed.empty(); ++i) turn();
    ASSERT_EQ(events.closed.size(), 1U);
    EXPECT_EQ(events.closed[0].code(), ErrorCode::protocol) << events.closed[0].what();
  }
};

TEST_F(LocalPeer, an_answer_that_waits_does_not_outlive_its_memory) {
  constexpr std::size_t kSize = 4 * kQueueSize;
  void* mapped = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto registration =
      domain->register_memory({static_cast<std::byte*>(mapped), kSize}, Access::remote);
  Frame read;
  read.kind = Kind::read;
  read.key = registration->remote().key;
  read.rest = kSize;
  ASSERT_TRUE(say(read));
  turn();
  ASSERT_TRUE(reader.next()) << "no answer has begun";
  registration.reset();
  ::munmap(mapped, kSize);
  while (reader.next()) static_cast<void>(reader.pop());
  expect_thrown_out();
}

TEST_F(LocalPeer, what_was_not_shared_cannot_be_taken_back) {
  ASSERT_TRUE(share(1));
  ASSERT_TRUE(say(Kind::unshare, 2));
  expect_thrown_out();
}

TEST_F(LocalPeer, nothing_is_shared_twice) {
  ASSERT_TRUE(share(1));
  turn();
  ASSERT_EQ(events.shared.size(), 1U);
  ASSERT_TRUE(share(1));
  expect_thrown_out();
}

TEST_F(LocalPeer, files_that_are_not_announced_count_with_those_that_are) {
  constexpr std::uint32_t kShared = 512;
  const std::size_t before = open_descriptors();
  for (std::uint32_t id = 1; id <= kShared; ++id) {
    ASSERT_TRUE(share(id));
    if (id % 64 == 0) turn();
  }
  ASSERT_TRUE(events.closed.empty());
  ASSERT_EQ(events.shared.size(), kShared);
  std::size_t most = 0;
  for (std::uint32_t id = kShared + 1; id < 2 * kMaxShared && events.closed.empty(); ++id) {
    give(id);
    turn();
    most = std::max(most, open_descriptors());
  }
  expect_thrown_out();
  EXPECT_LE(most, before + kMaxShared);
}

/// 512 at a time is what a session shares; it does not wait until it is heard.
TEST_F(LocalPeer, who_shares_in_a_hurry_is_served) {
  constexpr std::uint32_t kShared = 512;
  constexpr std::uint32_t kAll = 5000;
  for (std::uint32_t id = 1; id <= kAll; ++id) {
    if (id > kShared) {
      while (!say(Kind::unshare, id - kShared)) turn();
    }
    while (!share(id)) {
      turn();
      ASSERT_TRUE(events.closed.empty()) << events.closed[0].what();
    }
  }
  for (std::uint32_t i = 0; i < kAll && !events.shared.contains(kAll); ++i) turn();
  EXPECT_TRUE(events.closed.empty());
  EXPECT_EQ(events.shared.size(), kShared);
}

/// Of `count` copies of one descriptor, in one packet.
Packet receive_with_files(std::size_t count) {
  std::array<int, 2> pair{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
  const UniqueFd from(pair[0]);
  const UniqueFd to(pair[1]);
  std::byte byte{};
  iovec data{&byte, 1};
  const std::vector<int> files(count, STDIN_FILENO);
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(8 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(header), files.data(), count * sizeof(int));
  EXPECT_EQ(::sendmsg(from.get(), &message, 0), 1);
  auto packet = receive_packet(to.get(), {&byte, 1});
  EXPECT_TRUE(packet);
  return packet ? std::move(*packet) : Packet{};
}

TEST(LocalSocket, a_packet_brings_one_file_and_others_leave_nothing_open) {
  EXPECT_TRUE(receive_with_files(1).file);
  const std::size_t before = open_descriptors();
  for (const std::size_t count : {2, 3, 8}) {
    EXPECT_FALSE(receive_with_files(count).file) << count;
    EXPECT_EQ(open_descriptors(), before) << count;
  }
}

}  // namespace
}  // namespace grainfabric::transport::local
