// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rdma/fi_errno.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "transport/ofi/address.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/message.hpp"

/// What the libfabric transport reads from peers, and what it says of failures that a test host
/// cannot be made to have.
namespace grainfabric::transport::ofi {
namespace {

std::vector<std::byte> message_of(MessageKind kind, const Token& token,
                                  const std::vector<std::byte>& body) {
  const MessageHeader head = header(kind, token);
  std::vector<std::byte> message(sizeof head + body.size());
  std::memcpy(message.data(), &head, sizeof head);
  std::copy(body.begin(), body.end(), message.begin() + sizeof head);
  return message;
}

Address ipv4(const char* text, std::uint16_t port) {
  sockaddr_in ip{};
  ip.sin_family = AF_INET;
  ip.sin_port = htons(port);
  ::inet_pton(AF_INET, text, &ip.sin_addr);
  const auto raw = std::as_bytes(std::span(&ip, 1));
  return {"FI_SOCKADDR_IN", {raw.begin(), raw.end()}};
}

Address ipv6(const char* text, std::uint16_t port, std::uint32_t scope) {
  sockaddr_in6 ip{};
  ip.sin6_family = AF_INET6;
  ip.sin6_port = htons(port);
  ip.sin6_scope_id = scope;
  ::inet_pton(AF_INET6, text, &ip.sin6_addr);
  const auto raw = std::as_bytes(std::span(&ip, 1));
  return {"FI_SOCKADDR_IN6", {raw.begin(), raw.end()}};
}

Address named(const std::string& text, bool terminated) {
  Address address{"FI_ADDR_STR", {}};
  for (const char c : text) address.bytes.push_back(static_cast<std::byte>(c));
  if (terminated) address.bytes.push_back(std::byte{0});
  return address;
}

TEST(OfiMessage, a_hello_carries_the_address) {
  const Token token = Token::random();
  const Address own = ipv4("10.1.2.3", 4242);
  const auto raw = message_of(MessageKind::hello, token, hello_body(own));
  const auto message = parse(raw, token);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, MessageKind::hello);
  const auto read = parse_hello(message->body);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->format, own.format);
  EXPECT_EQ(read->bytes, own.bytes);
}

TEST(OfiMessage, nothing_is_read_without_the_token_or_from_garbage) {
  const Token token = Token::random();
  const auto good = message_of(MessageKind::data, token, {std::byte{1}});
  ASSERT_TRUE(parse(good, token));
  EXPECT_FALSE(parse(good, Token::random()));
  EXPECT_FALSE(parse({}, token));
  EXPECT_FALSE(parse(std::span(good).first(sizeof(MessageHeader) - 1), token));
  for (const std::size_t offset : {0U, 4U, 6U, 8U, 23U}) {
    auto bad = good;
    bad[offset] ^= std::byte{0x40};
    EXPECT_FALSE(parse(bad, token)) << offset;
  }
}

TEST(OfiMessage, a_hello_cut_anywhere_is_none_or_has_a_shorter_address) {
  const auto body = hello_body(ipv4("10.1.2.3", 4242));
  for (std::size_t size = 0; size < body.size(); ++size) {
    const auto read = parse_hello(std::span(body).first(size));
    if (!read) continue;
    EXPECT_THROW(validated(*read, "FI_SOCKADDR_IN", {}), Error) << size;
  }
  EXPECT_FALSE(parse_hello(std::vector<std::byte>(1 + 255 + kMaxAddress + 1, std::byte{255})));
}

TEST(OfiAddress, what_a_peer_cannot_be_reached_at_is_refused) {
  const char* const in4 = "FI_SOCKADDR_IN";
  const char* const in6 = "FI_SOCKADDR_IN6";
  EXPECT_NO_THROW(validated(ipv4("10.0.0.1", 1), in4, {}));
  EXPECT_THROW(validated(ipv4("10.0.0.1", 0), in4, {}), Error);
  EXPECT_THROW(validated(ipv4("0.0.0.0", 1), in4, {}), Error);
  EXPECT_THROW(validated(ipv4("255.255.255.255", 1), in4, {}), Error);
  EXPECT_THROW(validated(ipv4("224.0.0.1", 1), in4, {}), Error);
  EXPECT_NO_THROW(validated(ipv6("::1", 1, 0), in6, {}));
  EXPECT_THROW(validated(ipv6("::", 1, 0), in6, {}), Error);
  EXPECT_THROW(validated(ipv6("ff02::1", 1, 0), in6, {}), Error);
  EXPECT_THROW(validated(ipv6("fe80::1", 1, 7), in6, {}), Error);
  // A side bound to one IP version cannot reach the other.
  const Address own = ipv4("10.0.0.2", 1);
  EXPECT_THROW(validated(ipv6("::1", 1, 0), in4, own.bytes), Error);
}

TEST(OfiAddress, the_name_of_a_shared_memory_endpoint_stays_in_its_directory) {
  EXPECT_NO_THROW(validated(named("fi_shm://123:0:4", true), "FI_ADDR_STR", {}));
  EXPECT_THROW(validated(named("fi_shm://123:0:4", false), "FI_ADDR_STR", {}), Error);
  EXPECT_THROW(validated(named("fi_shm://../../etc/passwd", true), "FI_ADDR_STR", {}), Error);
  EXPECT_THROW(validated(named("fi_shm://", true), "FI_ADDR_STR", {}), Error);
  EXPECT_THROW(validated(named("123:0:4", true), "FI_ADDR_STR", {}), Error);
  EXPECT_THROW(validated(named("fi_shm://" + std::string(300, 'a'), true), "FI_ADDR_STR", {}),
               Error);
}

TEST(OfiAddress, addresses_are_described_as_people_write_them) {
  EXPECT_EQ(describe(ipv4("10.1.2.3", 4242)), "10.1.2.3:4242");
  EXPECT_EQ(describe(ipv6("::1", 4242, 0)), "[::1]:4242");
  EXPECT_EQ(describe(named("fi_shm://1:2", true)), "\"fi_shm://1:2\"");
  EXPECT_EQ(describe({"FI_ADDR_EFA", {std::byte{0xab}, std::byte{1}}}), "ab01");
}

TEST(OfiError, a_registration_that_hits_the_memlock_limit_says_what_to_raise) {
  const Error limited = registration_error(FI_ENOMEM, 1 << 30, 8 << 20, "verbs on rxe0");
  EXPECT_EQ(limited.code(), ErrorCode::locked_memory_limit);
  EXPECT_NE(limited.remedy().find("ulimit -l"), std::string::npos);
  EXPECT_NE(limited.remedy().find("LimitMEMLOCK"), std::string::npos);
  EXPECT_NE(limited.failure().find("8192 KiB"), std::string::npos);
  EXPECT_NE(limited.failure().find("verbs on rxe0"), std::string::npos);
  EXPECT_EQ(registration_error(FI_ENOMEM, 1, RLIM_INFINITY, "x").code(), ErrorCode::no_memory);
  EXPECT_EQ(registration_error(FI_EACCES, 1, 8 << 20, "x").code(), ErrorCode::permission);
}

TEST(OfiError, a_negative_return_becomes_a_sentence) {
  EXPECT_EQ(check(3, "never"), 3);
  try {
    check(-FI_ECONNREFUSED, "Cannot connect to x", "Try y.");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
    EXPECT_EQ(error.remedy(), "Try y.");
    EXPECT_NE(error.failure().find("Connection refused"), std::string::npos);
  }
}

}  // namespace
}  // namespace grainfabric::transport::ofi
