// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/token.hpp"
#include "transport/transport.hpp"

/// What travels as messages between two connectionless endpoints (FI_EP_RDM). Anybody may send to
/// such an endpoint, so every message presents the token; one without is ignored.
///
///   offset  size  field
///        0     4  magic     0x44524647 ("GFRD")
///        4     2  version   1
///        6     2  kind      MessageKind
///        8    16  token     of this connection
///       24        body      hello: format length (1), format, address bytes to the end
///                           welcome, goodbye: nothing; data: the user's message;
///                           immediate: 4 bytes, the immediate data of the write before it
///
/// Numbers are little-endian. hello goes from connect() to accept() and tells where to answer;
/// welcome is the answer; goodbye says that the sender closes (best effort).
///
/// Connected endpoints (FI_EP_MSG) need none of it: the token is the connection request's private
/// data, and messages are the user's alone.
namespace grainfabric::transport::ofi {

enum class MessageKind : std::uint16_t {
  hello = 1,
  welcome = 2,
  data = 3,
  goodbye = 4,
  immediate = 5,
};

struct MessageHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t kind;
  std::byte token[16];
};
inline constexpr std::uint32_t kMessageMagic = 0x44524647;
inline constexpr std::uint16_t kMessageVersion = 1;

static_assert(sizeof(MessageHeader) == 24);
static_assert(offsetof(MessageHeader, version) == 4);
static_assert(offsetof(MessageHeader, kind) == 6);
static_assert(offsetof(MessageHeader, token) == 8);
static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

/// A message that presented the right token. `body` points into what was parsed.
struct Message {
  MessageKind kind;
  std::span<const std::byte> body;
};

MessageHeader header(MessageKind kind, const Token& token);
/// Nothing for what is too short, of another version or kind, or without the token.
std::optional<Message> parse(std::span<const std::byte> raw, const Token& token);

std::vector<std::byte> hello_body(const Address& own);
/// Nothing if the lengths do not add up. The address is not validated further.
std::optional<Address> parse_hello(std::span<const std::byte> body);

}  // namespace grainfabric::transport::ofi
