// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/token.hpp"

/// The private data of the connection manager's messages. What arrives may be longer, padded with
/// zeros to what the wire has room for (56 and 196 bytes).
///
/// | bytes | request (REQ)                 | reply (REP)            |
/// |-------|-------------------------------|------------------------|
/// | 0     | version, 1                    | version, 1             |
/// | 1     | largest MTU, as ibv_mtu has it| MTU of the connection  |
/// | 2..3  | 0                             | 0                      |
/// | 4..19 | token                         |                        |
///
/// The MTU is agreed here because a receiver refuses packets of another than its own, and each side
/// may have been told to use a smaller one.
namespace grainfabric::transport::verbs {

inline constexpr std::uint8_t kHelloVersion = 1;

struct HelloReply {
  std::uint8_t version = kHelloVersion;
  std::uint8_t mtu = 0;
  std::array<std::uint8_t, 2> reserved{};
};
static_assert(sizeof(HelloReply) == 4);

struct HelloRequest {
  HelloReply head;
  Token token;
};
static_assert(sizeof(HelloRequest) == 20 && offsetof(HelloRequest, token) == 4);

/// What a peer said; nothing if that is too short or of another version, or the MTU is none.
template <typename T>
std::optional<T> parse_hello(std::span<const std::byte> data) {
  T hello;
  if (data.size() < sizeof hello) return std::nullopt;
  std::memcpy(static_cast<void*>(&hello), data.data(), sizeof hello);
  HelloReply head;
  std::memcpy(&head, data.data(), sizeof head);
  if (head.version != kHelloVersion || head.mtu < 1 || head.mtu > 5) return std::nullopt;
  return hello;
}

}  // namespace grainfabric::transport::verbs
