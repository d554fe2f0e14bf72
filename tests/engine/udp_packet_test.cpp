// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "transport/udp/limits.hpp"
#include "transport/udp/packet.hpp"

/// The datagrams of the udp transport, there and back, cut short, and as garbage.
namespace grainfabric::transport::udp {
namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
Bytes written(const T& packet, std::size_t size = kBaseDatagram) {
  Bytes bytes(size);
  bytes.resize(write(packet, bytes));
  return bytes;
}

Bytes written(const Data& data) {
  Bytes bytes(kDataHeaderSize);
  write(data, std::span(bytes).first<kDataHeaderSize>());
  bytes.insert(bytes.end(), data.payload.begin(), data.payload.end());
  return bytes;
}

Data example_data(const Bytes& payload) {
  Data data{1, 2, 3, 4, 5, 6, 7, Kind::small_write, kLast | kImmediate | kAckNow, payload};
  return data;
}

Ack example_ack() {
  Ack ack;
  ack.connection = 11;
  ack.number = 12;
  ack.landed = 13;
  ack.delay_us = 14;
  ack.count = 3;
  ack.ranges[0] = {900, 1000};
  ack.ranges[1] = {5, 5};
  ack.ranges[2] = {0, 3};
  return ack;
}

TEST(UdpPacket, hello_is_as_long_as_what_it_asks_for_and_comes_back) {
  const Hello hello{7, Token::random(), Token::random().bytes, 1 << 20};
  const Bytes bytes = written(hello);
  EXPECT_EQ(bytes.size(), kBaseDatagram);
  const auto packet = parse(bytes);
  const auto* read = std::get_if<Hello>(&packet);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->connection, 7U);
  EXPECT_EQ(read->token, hello.token);
  EXPECT_EQ(read->cookie, hello.cookie);
  EXPECT_EQ(read->window, hello.window);
  EXPECT_LT(written(Challenge{}).size(), bytes.size());
}

TEST(UdpPacket, data_comes_back_with_its_payload_in_place) {
  const Bytes payload(100, std::byte{42});
  const Bytes bytes = written(example_data(payload));
  const auto packet = parse(bytes);
  const auto* data = std::get_if<Data>(&packet);
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(data->connection, 1U);
  EXPECT_EQ(data->number, 2U);
  EXPECT_EQ(data->position, 3U);
  EXPECT_EQ(data->address, 4U);
  EXPECT_EQ(data->key, 5U);
  EXPECT_EQ(data->immediate, 6U);
  EXPECT_EQ(data->left, 7U);
  EXPECT_EQ(data->kind, Kind::small_write);
  EXPECT_EQ(data->flags, kLast | kImmediate | kAckNow);
  EXPECT_EQ(data->payload.data(), bytes.data() + kDataHeaderSize);
  EXPECT_EQ(data->payload.size(), 100U);
}

TEST(UdpPacket, ack_ranges_come_back) {
  const auto packet = parse(written(example_ack()));
  const auto* ack = std::get_if<Ack>(&packet);
  ASSERT_NE(ack, nullptr);
  ASSERT_EQ(ack->count, 3U);
  EXPECT_EQ(ack->landed, 13U);
  EXPECT_EQ(ack->delay_us, 14U);
  for (std::size_t i = 0; i < ack->count; ++i) {
    EXPECT_EQ(ack->ranges[i].first, example_ack().ranges[i].first) << i;
    EXPECT_EQ(ack->ranges[i].last, example_ack().ranges[i].last) << i;
  }
}

TEST(UdpPacket, an_ack_of_numbers_below_zero_or_of_touching_ranges_is_none) {
  Ack ack = example_ack();
  Bytes bytes = written(ack);
  bytes[kAckHeaderSize + 8 + 4] = std::byte{255};  // as many in the second range
  EXPECT_TRUE(std::holds_alternative<std::monostate>(parse(bytes)));
  bytes = written(ack);
  std::fill_n(bytes.begin() + kAckHeaderSize + 8, 4, std::byte{0});  // nothing between them
  EXPECT_TRUE(std::holds_alternative<std::monostate>(parse(bytes)));
  bytes = written(ack);
  std::fill_n(bytes.begin() + kAckHeaderSize + 4, 4, std::byte{0});  // an empty range
  EXPECT_TRUE(std::holds_alternative<std::monostate>(parse(bytes)));
}

TEST(UdpPacket, a_read_request_comes_back_and_has_one_length) {
  Bytes bytes(ReadRequest::kSize);
  write(ReadRequest{1, 2, 3, 4}, std::span(bytes).first<ReadRequest::kSize>());
  ReadRequest request;
  ASSERT_TRUE(parse_read_request(bytes, &request));
  EXPECT_EQ(request.address, 1U);
  EXPECT_EQ(request.key, 2U);
  EXPECT_EQ(request.length, 3U);
  EXPECT_EQ(request.number, 4U);
  bytes.pop_back();
  EXPECT_FALSE(parse_read_request(bytes, &request));
}

TEST(UdpPacket, no_packet_is_understood_when_cut_short) {
  const Bytes payload;
  for (const Bytes& whole :
       {written(Hello{}), written(Challenge{}), written(Welcome{}), written(example_ack()),
        written(Close{}), written(example_data(payload)), written(Ping{1, 2}, kHeaderSize)}) {
    EXPECT_FALSE(std::holds_alternative<std::monostate>(parse(whole)));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_TRUE(std::holds_alternative<std::monostate>(parse(std::span(whole).first(size))))
          << size << " of " << whole.size();
    }
  }
}

TEST(UdpPacket, another_version_is_not_understood) {
  for (Bytes bytes : {written(Hello{}), written(example_ack()), written(Close{})}) {
    bytes[1] = std::byte{kVersion + 1};
    EXPECT_TRUE(std::holds_alternative<std::monostate>(parse(bytes)));
  }
}

TEST(UdpPacket, garbage_gives_nothing_that_lies_outside_of_it) {
  std::mt19937_64 random(20);
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(random() % 400);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (bytes.size() > 2) {  // let more of them through
      bytes[0] = static_cast<std::byte>(random() % 9);
      bytes[1] = std::byte{kVersion};
      bytes[2] = static_cast<std::byte>(random() % 8);
    }
    const auto packet = parse(bytes);
    if (const auto* data = std::get_if<Data>(&packet)) {
      EXPECT_EQ(data->payload.data(), bytes.data() + kDataHeaderSize);
      EXPECT_EQ(data->payload.size(), bytes.size() - kDataHeaderSize);
    } else if (const auto* ack = std::get_if<Ack>(&packet)) {
      ASSERT_LE(ack->count, kMaxAckRanges);
      for (std::size_t n = 0; n < ack->count; ++n) {
        EXPECT_LE(ack->ranges[n].first, ack->ranges[n].last);
        if (n == 0) continue;
        EXPECT_LT(ack->ranges[n].last + 1, ack->ranges[n - 1].first);
      }
    }
  }
}

}  // namespace
}  // namespace grainfabric::transport::udp
