// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>

#include "transport/verbs/error.hpp"
#include "transport/verbs/hello.hpp"
#include "transport/verbs/ip_address.hpp"
#include "transport/verbs/operations.hpp"
#include "transport/verbs/settings.hpp"

/// What verbs reads from a peer, a file or a system call, on hosts without an RDMA device too.
namespace grainfabric::transport::verbs {
namespace {

Address wire(const std::string& text, std::uint16_t port = 4242) {
  return IpAddress::parse(text).with_port(htons(port)).to_wire();
}

ErrorCode refusal(const Address& peer, const std::string& own) {
  try {
    IpAddress::validated(peer, IpAddress::parse(own));
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::io;
}

TEST(VerbsAddress, of_a_peer_comes_through_whole) {
  EXPECT_EQ(IpAddress::validated(wire("10.77.0.2"), IpAddress::parse("10.77.0.1")).text(),
            "10.77.0.2:4242");
  EXPECT_EQ(IpAddress::validated(wire("fd77::2"), IpAddress::parse("fd77::1")).text(),
            "[fd77::2]:4242");
}

TEST(VerbsAddress, that_nobody_can_connect_to_is_refused) {
  for (const char* text : {"0.0.0.0", "255.255.255.255", "224.0.0.1"}) {
    EXPECT_EQ(refusal(wire(text), "10.77.0.1"), ErrorCode::protocol) << text;
  }
  for (const char* text : {"::", "ff02::1"}) {
    EXPECT_EQ(refusal(wire(text), "fd77::1"), ErrorCode::protocol) << text;
  }
  EXPECT_EQ(refusal(wire("10.77.0.2", 0), "10.77.0.1"), ErrorCode::protocol);
  EXPECT_EQ(refusal(wire("fd77::2", 0), "fd77::1"), ErrorCode::protocol);
}

TEST(VerbsAddress, of_the_wrong_shape_is_refused) {
  const Address good = wire("10.77.0.2");
  Address shorter = good;
  shorter.bytes.pop_back();
  Address longer = good;
  longer.bytes.resize(kMaxAddress);
  Address lying = wire("fd77::2");
  lying.bytes[0] = std::byte{AF_INET};
  for (const Address& bad :
       {Address{}, shorter, longer, lying, Address{"FI_SOCKADDR_IN", good.bytes},
        Address{good.format, wire("fd77::2").bytes}}) {
    EXPECT_EQ(refusal(bad, "10.77.0.1"), ErrorCode::protocol) << bad.format;
  }
}

TEST(VerbsAddress, of_another_ip_version_or_link_is_named) {
  EXPECT_EQ(refusal(wire("fd77::2"), "10.77.0.1"), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(wire("fe80::2"), "fd77::1"), ErrorCode::invalid_argument);
}

TEST(VerbsAddress, that_is_link_local_gets_the_scope_of_this_side) {
  const IpAddress own = IpAddress::parse("fe80::1%lo");
  const IpAddress peer = IpAddress::validated(wire("fe80::2"), own);
  EXPECT_EQ(peer.text(), "[fe80::2%lo]:4242");
  // A peer's number of its interface is none of ours.
  Address elsewhere = wire("fe80::2");
  reinterpret_cast<sockaddr_in6*>(elsewhere.bytes.data())->sin6_scope_id = 4321;
  EXPECT_TRUE(IpAddress::validated(elsewhere, own).same_host(peer));
}

TEST(VerbsAddress, is_what_a_gid_says) {
  ibv_gid gid{};
  gid.raw[10] = gid.raw[11] = 0xff;
  gid.raw[12] = 10, gid.raw[13] = 77, gid.raw[15] = 2;
  EXPECT_EQ(IpAddress::from_gid(gid, 0).text(), "10.77.0.2");
  gid = {};
  gid.raw[0] = 0xfe, gid.raw[1] = 0x80, gid.raw[15] = 9;
  EXPECT_EQ(IpAddress::from_gid(gid, 1).text(), "fe80::9%lo");
}

TEST(VerbsAddress, that_is_no_number_is_an_error) {
  EXPECT_THROW(IpAddress::parse("localhost"), Error);
  EXPECT_THROW(IpAddress::parse(""), Error);
}

TEST(VerbsHello, is_read_with_padding_and_refused_otherwise) {
  HelloRequest hello{{kHelloVersion, 5, 4, 3}, Token::random()};
  std::vector<std::byte> raw(56);
  std::memcpy(raw.data(), &hello, sizeof hello);
  const auto read = parse_hello<HelloRequest>(raw);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->token.matches(hello.token));
  EXPECT_EQ(read->head.mtu, 5);
  EXPECT_EQ(read->head.queue_pairs, 4);
  EXPECT_EQ(read->head.index, 3);
  EXPECT_FALSE(parse_hello<HelloRequest>(std::span(raw).first(sizeof hello - 1)));
  EXPECT_FALSE(parse_hello<HelloRequest>({}));
  for (const int mtu : {0, 6, 255}) {
    raw[1] = static_cast<std::byte>(mtu);
    EXPECT_FALSE(parse_hello<HelloRequest>(raw)) << mtu;
  }
  raw[1] = std::byte{3};
  EXPECT_TRUE(parse_hello<HelloReply>(raw));
  for (const int version : {0, 1, 3}) {
    raw[0] = static_cast<std::byte>(version);
    EXPECT_FALSE(parse_hello<HelloReply>(raw)) << version;
  }
}

TEST(VerbsHello, has_bytes_in_their_places) {
  const HelloRequest hello{{kHelloVersion, 3, 16, 15}, Token::random()};
  const auto raw = std::as_bytes(std::span(&hello, 1));
  EXPECT_EQ(raw[0], std::byte{2});
  EXPECT_EQ(raw[1], std::byte{3});
  EXPECT_EQ(raw[2], std::byte{16});
  EXPECT_EQ(raw[3], std::byte{15});
}

TEST(VerbsHello, of_impossible_queue_pairs_is_refused) {
  const auto is_taken = [](std::uint8_t count, std::uint8_t index) {
    const HelloReply head{kHelloVersion, 5, count, index};
    return parse_hello<HelloReply>(std::as_bytes(std::span(&head, 1))).has_value();
  };
  EXPECT_TRUE(is_taken(1, 0));
  EXPECT_TRUE(is_taken(16, 15));
  EXPECT_FALSE(is_taken(0, 0));
  EXPECT_FALSE(is_taken(200, 0));
  EXPECT_FALSE(is_taken(17, 0));
  EXPECT_FALSE(is_taken(1, 1));
  EXPECT_FALSE(is_taken(4, 4));
  EXPECT_FALSE(is_taken(4, 255));
}

TEST(VerbsHello, asks_for_each_queue_pair_once_and_in_turn) {
  const auto head = [](std::uint8_t count, std::uint8_t index) {
    return HelloReply{kHelloVersion, 5, count, index};
  };
  EXPECT_TRUE(is_next(head(4, 0), 0, 0));
  EXPECT_FALSE(is_next(head(4, 1), 0, 0));
  EXPECT_FALSE(is_next(head(4, 0), 1, 4)) << "the same again, or another initiator";
  EXPECT_TRUE(is_next(head(4, 1), 1, 4));
  EXPECT_FALSE(is_next(head(4, 3), 1, 4));
  EXPECT_FALSE(is_next(head(5, 1), 1, 4)) << "another number of them";
  EXPECT_TRUE(is_next(head(4, 3), 3, 4));
  for (std::uint8_t index = 0; index < 4; ++index) {
    EXPECT_FALSE(is_next(head(4, index), 4, 4)) << "all stand";
  }
}

TEST(VerbsSettings, are_read_and_checked) {
  EXPECT_EQ(Settings::parse({}).max_wr, 256);
  const Settings set = Settings::parse({{"device", "rxe1"},
                                        {"port", "2"},
                                        {"gid-index", "3"},
                                        {"mtu", "1024"},
                                        {"max-wr", "16"},
                                        {"traffic-class", "106"},
                                        {"slice-size", "65536"},
                                        {"rnr-retry", "0"},
                                        {"queue-pairs", "16"},
                                        {"cqs-per-device", "16"}});
  EXPECT_EQ(set.device, "rxe1");
  EXPECT_EQ(set.port, 2);
  EXPECT_EQ(set.gid_index, 3);
  EXPECT_EQ(set.mtu, 1024);
  EXPECT_EQ(set.max_wr, 16);
  EXPECT_EQ(set.traffic_class, 106);
  EXPECT_EQ(set.slice_size, 65536U);
  EXPECT_EQ(set.rnr_retry, 0);
  EXPECT_EQ(set.queue_pairs, 16);
  EXPECT_EQ(set.cqs_per_device, 16);
  EXPECT_EQ(Settings::parse({}).queue_pairs, 1);
  EXPECT_EQ(Settings::parse({}).cqs_per_device, 1);
  for (const Options& bad :
       {Options{{"mtu", "1500"}}, Options{{"mtu", "9000"}}, Options{{"port", "0"}},
        Options{{"rnr-retry", "7"}}, Options{{"retry-count", "8"}}, Options{{"queue-depth", "8"}},
        Options{{"max-wr", "many"}}, Options{{"queue-pairs", "0"}}, Options{{"queue-pairs", "17"}},
        Options{{"cqs-per-device", "0"}}, Options{{"cqs-per-device", "2"}},
        Options{{"cqs-per-device", "5"}, {"queue-pairs", "4"}}}) {
    EXPECT_THROW(Settings::parse(bad), Error) << bad.begin()->first;
  }
}

TEST(VerbsOperations, take_as_many_places_as_requests_and_give_all_back) {
  Operations operations(8);
  Operation* large = operations.take(Operation::Kind::transfer, 6);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(operations.take(Operation::Kind::transfer, 3), nullptr);
  Operation* small = operations.take(Operation::Kind::silent, 2);
  ASSERT_NE(small, nullptr);
  EXPECT_EQ(operations.take(Operation::Kind::silent, 1), nullptr);
  EXPECT_EQ(operations.find(operations.index_of(*large)), large);
  operations.put_back(*large);
  EXPECT_EQ(operations.find(operations.index_of(*large)), nullptr);
  EXPECT_EQ(operations.find(1234567), nullptr);
  EXPECT_NE(operations.take(Operation::Kind::message, 6), nullptr);
}

TEST(VerbsError, of_locked_memory_says_what_to_change) {
  const Error limited = registration_error(ENOMEM, 1 << 30, 8 << 20, "verbs on rxe0 port 1");
  EXPECT_EQ(limited.code(), ErrorCode::locked_memory_limit);
  EXPECT_NE(limited.failure().find("8192 KiB"), std::string::npos);
  EXPECT_NE(limited.remedy().find("ulimit -l"), std::string::npos);
  EXPECT_EQ(registration_error(ENOMEM, 1, RLIM_INFINITY, "x").code(), ErrorCode::no_memory);
  EXPECT_EQ(registration_error(EFAULT, 1, 8 << 20, "x").code(), ErrorCode::io);
}

TEST(VerbsError, of_opening_says_what_the_host_lacks) {
  EXPECT_EQ(opening_error(EACCES, "verbs on rxe0").code(), ErrorCode::permission);
  EXPECT_NE(opening_error(EACCES, "x").remedy().find("/dev/infiniband"), std::string::npos);
  EXPECT_EQ(opening_error(ENODEV, "x").code(), ErrorCode::unsupported);
  EXPECT_NE(opening_error(ENOENT, "x").remedy().find("rdma_ucm"), std::string::npos);
}

TEST(VerbsError, of_a_completion_tells_a_dead_peer_from_a_refusal) {
  EXPECT_EQ(completion_error(IBV_WC_WR_FLUSH_ERR, "p").code(), ErrorCode::disconnected);
  EXPECT_EQ(completion_error(IBV_WC_RETRY_EXC_ERR, "p").code(), ErrorCode::disconnected);
  EXPECT_EQ(completion_error(IBV_WC_REM_ACCESS_ERR, "p").code(), ErrorCode::permission);
  EXPECT_NE(completion_error(IBV_WC_RNR_RETRY_EXC_ERR, "p").remedy().find("rnr-timer"),
            std::string::npos);
}

}  // namespace
}  // namespace grainfabric::transport::verbs
