// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

#include "transport/udp/intake.hpp"
#include "transport/udp/send_batch.hpp"
#include "transport/udp/socket.hpp"
#include "transport_pair.hpp"

/// What the udp transport asks of the kernel, and what it makes of the answers.
namespace grainfabric::transport {
namespace {

/// What the kernel says instead: of the next calls that receive or send …
std::deque<int> receive_errors;
std::deque<int> send_errors;
/// … and of all that send, where it is not 0.
int send_error = 0;
std::size_t calls_in_vain = 0;
std::size_t messages_in_vain = 0;

bool take_error(std::deque<int>* errors) {
  if (errors->empty()) return false;
  errno = errors->front();
  errors->pop_front();
  return true;
}

}  // namespace
}  // namespace grainfabric::transport

extern "C" {
// Instead of libc's, also for the engine's library.
__attribute__((visibility("default"))) int recvmmsg(int fd, mmsghdr* messages, unsigned count,
                                                    int flags, timespec* timeout) {
  if (grainfabric::transport::take_error(&grainfabric::transport::receive_errors)) return -1;
  return static_cast<int>(::syscall(SYS_recvmmsg, fd, messages, count, flags, timeout));
}
__attribute__((visibility("default"))) int sendmmsg(int fd, mmsghdr* messages, unsigned count,
                                                    int flags) {
  using namespace grainfabric::transport;
  if (take_error(&send_errors)) return -1;
  if (send_error != 0) {
    ++calls_in_vain;
    messages_in_vain += count;
    errno = send_error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_sendmmsg, fd, messages, count, flags));
}
}

namespace grainfabric::transport {
namespace {

using namespace std::chrono_literals;

/// Two sockets of this host, connected to each other.
struct Sockets {
  udp::Socket from{any()};
  udp::Socket to{any()};
  Sockets() {
    from.connect(to.name());
    to.connect(from.name());
  }
  static udp::SocketAddress any() {
    udp::SocketAddress loopback;
    loopback.v4.sin_family = AF_INET;
    loopback.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    loopback.size = sizeof loopback.v4;
    return loopback;
  }
  /// As one message, where the kernel can.
  udp::SendBatch::Result send(std::size_t datagrams, std::size_t size) {
    std::vector<std::byte> payload(size);
    const iovec part{payload.data(), payload.size()};
    udp::SendBatch batch;
    batch.begin(from.can_segment());
    for (std::size_t i = 0; i < datagrams; ++i) {
      const auto header = batch.add(udp::kDataHeaderSize, {&part, 1}, size, i);
      std::fill(header.begin(), header.end(), std::byte{});
    }
    return batch.send(from.fd());
  }
};

TEST(UdpIntake, a_look_ahead_tells_of_the_first_datagram_of_a_group) {
  Sockets sockets;
  ASSERT_EQ(sockets.send(3, 20'000).sent, 3U);
  std::array<std::byte, udp::kDataHeaderSize> header;
  udp::Intake intake;
  std::size_t size = 0;
  EXPECT_EQ(intake.peek(sockets.to.fd(), header, &size), udp::Intake::Outcome::some);
  EXPECT_EQ(size, udp::kDataHeaderSize + 20'000);
}

TEST(UdpSendBatch, an_error_that_was_another_datagrams_keeps_none_back) {
  Sockets sockets;
  send_errors = {EMSGSIZE};
  const auto result = sockets.send(3, 1000);
  EXPECT_EQ(result.error, 0);
  EXPECT_EQ(result.sent, 3U);
}

TEST(UdpSendBatch, a_datagram_that_is_too_long_is_told) {
  Sockets sockets;
  const auto result = sockets.send(1, udp::kMaxDatagram);
  EXPECT_EQ(result.error, EMSGSIZE);
  EXPECT_EQ(result.sent, 0U);
}

/// Two endpoints of this host, and memory to write to.
struct UdpEndpoint : testing::Test {
  static constexpr std::size_t kSlot = 100'000;
  static constexpr std::size_t kSlots = 20;
  Pair pair{{"udp", "127.0.0.1"}};
  Registered source{*pair.initiator_domain, kSlot* kSlots, Access::local};
  Registered ring{*pair.target_domain, kSlot* kSlots, Access::remote};

  void SetUp() override { ASSERT_TRUE(pair.connect()); }
  void TearDown() override {
    receive_errors.clear();
    send_error = 0;
  }
  Posted write(std::size_t slot, std::size_t size, std::optional<std::uint32_t> immediate) {
    const LocalPiece pieces[] = {source.piece(0, size)};
    return pair.initiator->write(pieces, ring.remote().address + slot * kSlot, ring.remote().key,
                                 immediate, slot);
  }
  bool arrive(std::size_t count) {
    return pair.loop.run_until([&] { return pair.target_events.immediates.size() >= count; });
  }
};

TEST_F(UdpEndpoint, an_icmp_message_closes_nothing) {
  std::uint32_t number = 0;
  for (const int error : {EMSGSIZE, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT,
                          EOPNOTSUPP, EPROTO, EACCES}) {
    receive_errors = {error};
    ASSERT_EQ(write(0, 60'000, ++number), Posted::ok) << std::strerror(error);
    EXPECT_TRUE(arrive(number)) << std::strerror(error);
    EXPECT_TRUE(receive_errors.empty());
  }
  EXPECT_TRUE(pair.initiator_events.closed.empty());
  EXPECT_TRUE(pair.target_events.closed.empty());
}

TEST_F(UdpEndpoint, an_error_of_this_host_closes) {
  receive_errors = {ENOMEM};
  ASSERT_EQ(write(0, 60'000, 1), Posted::ok);
  EXPECT_TRUE(pair.loop.run_until([&] { return !pair.target_events.closed.empty(); }));
}

TEST_F(UdpEndpoint, while_nothing_can_be_sent_one_datagram_at_a_time_is_tried) {
  ASSERT_EQ(write(0, 60'000, 1), Posted::ok);
  ASSERT_TRUE(arrive(1));
  calls_in_vain = messages_in_vain = 0;
  send_error = ENETUNREACH;
  ASSERT_EQ(write(0, kSlot * kSlots, 2), Posted::ok);
  EXPECT_TRUE(pair.loop.run_until([] { return calls_in_vain >= 20; }));
  send_error = 0;
  // Packet numbers are used up by them. The first time either side may have had a full batch.
  EXPECT_LE(messages_in_vain, calls_in_vain + 2 * udp::kSendBatch);
  EXPECT_TRUE(arrive(2));
}

TEST_F(UdpEndpoint, what_is_closed_wakes_nobody) {
  pair.loop.run_for(20ms);  // the next keep-alive is set
  pair.drop_target();
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.initiator_events.closed.empty(); }));
  const int before = pair.loop.sleeps();
  pair.loop.run_for(udp::kKeepAlive + 300ms);
  EXPECT_LT(pair.loop.sleeps() - before, 20);
}

TEST_F(UdpEndpoint, long_writes_that_come_together_leave_what_lies_between_them_alone) {
  constexpr std::size_t kSize = 20'000;
  // The first makes the receiver look ahead; the others go in one message.
  ASSERT_EQ(write(3, 60'000, 1), Posted::ok);
  ASSERT_TRUE(arrive(1));
  pair.loop.run_for(20ms);  // until the path is known to take long datagrams
  ASSERT_EQ(write(3, 60'000, 2), Posted::ok);
  ASSERT_TRUE(arrive(2));
  source.fill(7);
  std::fill(ring.bytes.begin(), ring.bytes.end(), std::byte{0xee});
  ASSERT_EQ(write(0, kSize, {}), Posted::ok);
  ASSERT_EQ(write(1, kSize, {}), Posted::ok);
  ASSERT_EQ(write(2, kSize, 3), Posted::ok);
  ASSERT_TRUE(arrive(3));
  std::vector<std::byte> expected(ring.bytes.size(), std::byte{0xee});
  for (std::size_t slot = 0; slot < 3; ++slot) {
    std::copy_n(source.bytes.begin(), kSize,
                expected.begin() + static_cast<std::ptrdiff_t>(slot * kSlot));
  }
  const auto differs = std::mismatch(ring.bytes.begin(), ring.bytes.end(), expected.begin()).first;
  EXPECT_EQ(differs - ring.bytes.begin(), static_cast<std::ptrdiff_t>(ring.bytes.size()));
}

}  // namespace
}  // namespace grainfabric::transport
