// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <vector>

#include "transport/udp/connection.hpp"
#include "transport/udp/inbox.hpp"
#include "transport/udp/outbox.hpp"
#include "transport/udp/socket.hpp"

/// The stream of the udp transport: cut by an Outbox, put together by an Inbox, with no network.
namespace grainfabric::transport::udp {
namespace {

class Told final : public Inbox::Events {
 public:
  std::vector<std::uint32_t> immediates;
  std::vector<std::string> messages;
  std::vector<std::uint64_t> reads;
  std::vector<ReadRequest> requests;
  void on_landed_immediate(std::uint32_t immediate) override { immediates.push_back(immediate); }
  void on_landed_message(std::span<const std::byte> message) override {
    messages.emplace_back(reinterpret_cast<const char*>(message.data()), message.size());
  }
  Inbox::Taken on_read_request(const ReadRequest& request) override {
    requests.push_back(request);
    return Inbox::Taken::fresh;
  }
  Inbox::Taken on_read_done(std::uint64_t, std::uint64_t context) override {
    reads.push_back(context);
    return Inbox::Taken::fresh;
  }
};

/// A DATA packet with its payload.
struct Flying {
  Data data;
  std::vector<std::byte> payload;
};

struct UdpStream : testing::Test {
  std::shared_ptr<Registry> here = std::make_shared<Registry>();
  std::shared_ptr<Registry> there = std::make_shared<Registry>();
  std::vector<std::byte> source = std::vector<std::byte>(100'000);
  std::vector<std::byte> ring = std::vector<std::byte>(100'000);
  std::uint64_t key = there->add(ring);
  Outbox outbox{here};
  Told told;
  Inbox inbox{there, told};

  UdpStream() {
    std::mt19937 random(3);
    for (std::byte& byte : source) byte = static_cast<std::byte>(random());
  }
  bool write(std::size_t offset, std::size_t size, std::optional<std::uint32_t> immediate) {
    const LocalPiece pieces[] = {{source.data() + offset, size, nullptr}};
    return outbox.post_write(pieces, offset, key, immediate, 0);
  }
  std::vector<Flying> cut_all(std::size_t most) {
    std::vector<Flying> all;
    for (Chunk chunk; outbox.has_more() && outbox.cut(most, &chunk);) {
      Flying flying{chunk.header, {}};
      for (std::size_t i = 0; i < chunk.part_count; ++i) {
        const auto* from = static_cast<const std::byte*>(chunk.parts[i].iov_base);
        flying.payload.insert(flying.payload.end(), from, from + chunk.parts[i].iov_len);
      }
      all.push_back(std::move(flying));
    }
    return all;
  }
  Inbox::Taken arrive(Flying& flying) {
    flying.data.payload = flying.payload;
    const Inbox::Taken taken = inbox.take(flying.data);
    return taken == Inbox::Taken::fresh ? inbox.deliver() : taken;
  }
};

TEST_F(UdpStream, writes_that_go_on_where_one_ends_share_datagrams) {
  ASSERT_TRUE(write(0, 1500, {}));
  ASSERT_TRUE(write(1500, 1500, {}));
  ASSERT_TRUE(write(3000, 1000, 9));
  ASSERT_TRUE(write(4000, 1000, 10));
  auto flying = cut_all(2000);
  ASSERT_EQ(flying.size(), 3U);
  EXPECT_EQ(flying[0].data.left, 2000U);
  EXPECT_EQ(flying[1].data.flags & kImmediate, kImmediate);
  for (auto& one : flying) EXPECT_EQ(arrive(one), Inbox::Taken::fresh);
  EXPECT_EQ(told.immediates, (std::vector<std::uint32_t>{9, 10}));
  EXPECT_TRUE(std::equal(ring.begin(), ring.begin() + 5000, source.begin()));
}

TEST_F(UdpStream, everything_is_told_once_and_in_order_whatever_the_order_of_arrival) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Told events;
    Inbox receiver(there, events);
    Outbox sender(here);
    std::fill(ring.begin(), ring.end(), std::byte{0});
    std::vector<std::uint32_t> immediates;
    std::vector<std::string> messages;
    for (std::uint32_t i = 0; i < 20; ++i) {
      const std::size_t at = i * 3000;
      const LocalPiece pieces[] = {{source.data() + at, 2500, nullptr}};
      switch (random() % 4) {
        case 0:
          ASSERT_TRUE(sender.post_write(pieces, at, key, std::nullopt, i));
          break;
        case 1:
          ASSERT_TRUE(sender.post_write(pieces, at, key, i, i));
          immediates.push_back(i);
          break;
        case 2:
          ASSERT_TRUE(sender.post_inject(std::span(source).subspan(at, 8), at, key, i));
          immediates.push_back(i);
          break;
        default:
          messages.emplace_back(random() % 4096, static_cast<char>('a' + i));
          ASSERT_TRUE(sender.post_message(std::as_bytes(std::span(messages.back())), i));
      }
    }
    // All once at one size, half of it again at another: spurious losses after the path narrowed.
    std::vector<Flying> flying;
    const auto cut = [&](std::size_t most) {
      for (Chunk chunk; sender.has_more() && sender.cut(most, &chunk);) {
        Flying one{chunk.header, {}};
        for (std::size_t i = 0; i < chunk.part_count; ++i) {
          const auto* from = static_cast<const std::byte*>(chunk.parts[i].iov_base);
          one.payload.insert(one.payload.end(), from, from + chunk.parts[i].iov_len);
        }
        flying.push_back(std::move(one));
      }
    };
    cut(1400);
    for (std::size_t i = 0, count = flying.size(); i < count; ++i) {
      const auto& data = flying[i].data;
      const std::uint64_t size = std::max<std::size_t>(flying[i].payload.size(), 1);
      if (random() % 2 == 0) sender.requeue(data.position, data.position + size);
    }
    cut(1100);
    std::shuffle(flying.begin(), flying.end(), random);
    for (Flying& one : flying) {
      one.data.payload = one.payload;
      ASSERT_LE(receiver.take(one.data), Inbox::Taken::duplicate);
      ASSERT_EQ(receiver.deliver(), Inbox::Taken::fresh);
    }
    EXPECT_EQ(events.immediates, immediates) << seed;
    EXPECT_EQ(events.messages, messages) << seed;
    EXPECT_EQ(receiver.landed(), sender.end()) << seed;
    std::size_t completed = 0;
    sender.land(receiver.landed(), [&](std::uint64_t) { ++completed; });
    EXPECT_FALSE(sender.awaits());
  }
}

TEST_F(UdpStream, what_has_landed_is_not_written_again) {
  ASSERT_TRUE(write(0, 1000, 1));
  auto flying = cut_all(1000);
  EXPECT_EQ(arrive(flying[0]), Inbox::Taken::fresh);
  std::fill(ring.begin(), ring.end(), std::byte{7});
  EXPECT_EQ(arrive(flying[0]), Inbox::Taken::duplicate);
  EXPECT_EQ(ring[0], std::byte{7});
  EXPECT_EQ(told.immediates.size(), 1U);
}

TEST_F(UdpStream, nothing_of_a_write_that_does_not_fit_is_begun) {
  const LocalPiece pieces[] = {{source.data(), 2000, nullptr}};
  ASSERT_TRUE(outbox.post_write(pieces, ring.size() - 1999, key, 1, 0));
  auto flying = cut_all(1000);
  EXPECT_EQ(arrive(flying[0]), Inbox::Taken::bad_memory);
  EXPECT_EQ(ring, std::vector<std::byte>(ring.size()));
}

TEST_F(UdpStream, a_forecast_says_where_the_next_payload_goes) {
  ASSERT_TRUE(write(0, 50'000, 1));
  auto flying = cut_all(20'000);
  ASSERT_EQ(flying.size(), 3U);
  EXPECT_FALSE(inbox.forecast());
  EXPECT_EQ(arrive(flying[0]), Inbox::Taken::fresh);
  const auto forecast = inbox.forecast();
  ASSERT_TRUE(forecast);
  EXPECT_EQ(forecast->place, ring.data() + 20'000);
  EXPECT_EQ(forecast->left, 30'000U);
  EXPECT_EQ(forecast->chunk, 20'000U);
  there->remove(key);
  EXPECT_FALSE(inbox.forecast());
}

TEST_F(UdpStream, too_far_ahead_is_refused) {
  Data data;
  data.key = key;
  data.position = kStreamWindow;
  EXPECT_EQ(inbox.take(data), Inbox::Taken::refused);
  data.position = UINT64_MAX;
  EXPECT_EQ(inbox.take(data), Inbox::Taken::refused);
}

TEST_F(UdpStream, what_has_landed_out_of_turn_does_not_stand_in_the_way) {
  ASSERT_TRUE(write(0, 10'000, 1));
  ASSERT_EQ(cut_all(1000).size(), 10U);
  outbox.requeue(8000, 9000);
  outbox.requeue(0, 1000);
  outbox.requeue(9000, 10'000);
  outbox.land(1000, [](std::uint64_t) {});
  const auto flying = cut_all(1000);
  ASSERT_EQ(flying.size(), 2U);
  EXPECT_EQ(flying[0].data.position, 8000U);
  EXPECT_EQ(flying[1].data.position, 9000U);
  EXPECT_FALSE(outbox.has_more());
}

class Ignored final : public Connection::Events {
 public:
  int completed = 0;
  std::function<void(std::uint64_t)> when_completed;
  void on_completed(std::uint64_t context) override {
    ++completed;
    if (when_completed) when_completed(context);
  }
  void on_immediate(std::uint32_t) override {}
  void on_message(std::span<const std::byte>) override {}
  void on_failed(const Error&) override {}
};

TEST_F(UdpStream, an_ack_of_what_was_never_sent_is_dropped) {
  Ignored events;
  Drops drops;
  const TimePoint now = TimePoint{} + 1000s;
  Connection connection(here, {1, 2, 1 << 20, 1472, "the peer", 1ms}, events, now);
  const LocalPiece pieces[] = {{source.data(), source.size(), nullptr}};
  ASSERT_TRUE(connection.outbox().post_write(pieces, 0, key, 1, 5));
  SendBatch batch;
  batch.begin(true);
  ASSERT_TRUE(connection.fill(&batch, now));
  ASSERT_LT(connection.outbox().sent(), source.size());
  Ack ack;
  ack.connection = 1;
  ack.number = 1;
  ack.landed = source.size();
  ack.count = 1;
  connection.receive(Packet(ack), &drops, now + 1ms);
  EXPECT_EQ(drops.out_of_window, 1U);
  EXPECT_EQ(events.completed, 0);
}

TEST_F(UdpStream, memory_that_is_withdrawn_while_a_peer_reads_it_is_not_sent) {
  const std::uint64_t own = here->add(source);
  ASSERT_TRUE(outbox.post_read_data({0, own, 5000, 1}));
  Chunk chunk;
  ASSERT_TRUE(outbox.cut(1000, &chunk));
  here->remove(own);
  EXPECT_FALSE(outbox.cut(1000, &chunk));
  EXPECT_TRUE(outbox.withdrawn());
}

/// Two connections without a network: what one sends is given to the other, or to nobody.
struct UdpConnections : UdpStream {
  Ignored events[2];
  Drops drops;
  TimePoint now = TimePoint{} + 1000s;
  static constexpr std::size_t kLongest = 8972;
  std::size_t longest = kLongest;  // that passes
  Connection one{here, {1, 2, 1 << 20, kLongest, "the other", 100us}, events[0], now};
  Connection other{there, {2, 1, 1 << 20, kLongest, "the one", 100us}, events[1], now};
  Socket from{loopback()};
  Socket to{loopback()};

  UdpConnections() { from.connect(to.name()); }
  static SocketAddress loopback() {
    SocketAddress any;
    any.v4.sin_family = AF_INET;
    any.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    any.size = sizeof any.v4;
    return any;
  }
  /// All that it sends now.
  std::vector<std::vector<std::byte>> sent_by(Connection& connection) {
    std::vector<std::vector<std::byte>> all;
    SendBatch batch;
    while (connection.wants_to_send(now)) {
      batch.begin(false);
      if (!connection.fill(&batch, now)) break;
      EXPECT_EQ(batch.send(from.fd()).error, 0);
      for (std::vector<std::byte> bytes(kMaxDatagram);;) {
        const ssize_t size = ::recv(to.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (size < 0) break;
        all.emplace_back(bytes.begin(), bytes.begin() + size);
      }
    }
    return all;
  }
  void exchange() {
    now += 1ms;
    for (Connection* connection : {&one, &other}) {
      if (now >= connection->deadline()) connection->on_time(now);
      Connection& peer = connection == &one ? other : one;
      for (const auto& bytes : sent_by(*connection)) {
        if (bytes.size() <= longest) peer.receive(parse(bytes), &drops, now);
      }
    }
  }
  bool write_by_one(std::size_t size, std::uint64_t context) {
    const LocalPiece pieces[] = {{source.data(), size, nullptr}};
    return one.outbox().post_write(pieces, 0, key, 1, context);
  }
};

TEST_F(UdpConnections, a_packet_that_is_not_awaited_any_more_is_not_acknowledged) {
  const auto ping = [&](std::uint64_t number) { one.receive(Ping{1, number}, &drops, now); };
  for (std::uint64_t i = 0; i < kMaxRanges; ++i) ping(2 * i + 1);
  EXPECT_EQ(drops.replayed, 0U);
  ping(0);
  EXPECT_EQ(drops.replayed, 1U);  // its hole had been forgotten, for another
  for (std::uint64_t i = 1; i < kMaxRanges; ++i) ping(2 * i);
  bool acknowledged = false;
  for (const auto& bytes : sent_by(one)) {
    const Packet packet = parse(bytes);
    const auto* ack = std::get_if<Ack>(&packet);
    if (ack == nullptr) continue;
    ASSERT_EQ(ack->count, 1U);
    EXPECT_GT(ack->ranges[0].first, 0U);
    EXPECT_EQ(ack->ranges[0].last, 2 * kMaxRanges - 1);
    acknowledged = true;
  }
  EXPECT_TRUE(acknowledged);
}

TEST_F(UdpConnections, after_many_failed_sends_there_is_still_a_packet_to_probe_with) {
  ASSERT_TRUE(write_by_one(100, 0));
  const TimePoint silent_since = now;
  ASSERT_FALSE(sent_by(one).empty());  // and lost, so that its number stays the first
  ASSERT_TRUE(write_by_one(source.size(), 0));
  SendBatch batch;
  for (int i = 0; i < 1000; ++i) {
    now += 1ms;
    batch.begin(true);
    if (one.fill(&batch, now)) one.not_sent(batch.numbers(), ENETUNREACH, now);
  }
  while (one.deadline() < silent_since + kSilence) {
    now = std::max(now, one.deadline());
    one.on_time(now);
    sent_by(one);
    ASSERT_GT(one.deadline(), now);
  }
}

TEST_F(UdpConnections, a_probe_that_is_too_long_to_send_makes_no_black_hole) {
  longest = 6000;
  const auto is_between = [&] {
    return one.path().datagram() > kBaseDatagram && one.path().wants_probe(now);
  };
  for (int i = 0; i < 100 && !is_between(); ++i) exchange();
  ASSERT_TRUE(is_between());
  const std::size_t before = one.path().datagram();
  ASSERT_TRUE(write_by_one(source.size(), 0));
  SendBatch batch;
  batch.begin(true);
  ASSERT_TRUE(one.fill(&batch, now));
  ASSERT_GT(batch.numbers().size(), 1U);
  one.not_sent(batch.numbers(), EMSGSIZE, now);
  EXPECT_EQ(one.path().datagram(), before);
}

TEST_F(UdpConnections, a_black_hole_makes_the_window_one_of_small_datagrams) {
  for (int i = 0; i < 10; ++i) exchange();
  ASSERT_EQ(one.path().datagram(), kLongest);
  ASSERT_TRUE(write_by_one(source.size(), 0));
  for (const TimePoint start = now; now < start + 200ms;) {
    now = std::max(now + 1us, one.deadline());
    one.on_time(now);
    sent_by(one);
  }
  EXPECT_EQ(one.path().datagram(), kBaseDatagram);
  EXPECT_EQ(one.congestion().window(), 2 * kBaseDatagram);
}

TEST_F(UdpConnections, a_read_that_is_refused_for_its_request_takes_no_place) {
  for (int i = 0; i < 10; ++i) exchange();
  std::vector<std::byte> read(10);
  std::uint64_t reads = 0;
  const auto post = [&] {
    if (!one.read(read.data(), read.size(), 0, key, 0)) return false;
    ++reads;
    return true;
  };
  ASSERT_TRUE(write_by_one(1000, 77));
  for (std::size_t i = 0; i < kReadDepth; ++i) ASSERT_TRUE(post());
  // The write is told by the data of the first read, while all requests are still there.
  int refused = 0;
  events[0].when_completed = [&](std::uint64_t context) {
    if (context == 77 && !post()) ++refused;
  };
  for (int i = 0; i < 20 && refused == 0; ++i) {
    now += 1ms;
    for (const auto& bytes : sent_by(one)) other.receive(parse(bytes), &drops, now);
    for (const auto& bytes : sent_by(other)) {
      const Packet packet = parse(bytes);
      if (std::holds_alternative<Data>(packet)) one.receive(packet, &drops, now);
    }
  }
  ASSERT_EQ(refused, 1);
  for (int i = 0; i < 500 && reads < 5 * kReadDepth; ++i) {
    exchange();
    while (reads < 5 * kReadDepth && post()) continue;
  }
  EXPECT_EQ(reads, 5 * kReadDepth);
}

}  // namespace
}  // namespace grainfabric::transport::udp
