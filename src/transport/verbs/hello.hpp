// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/token.hpp"
#include "transport/verbs/limits.hpp"

/// The private data of the connection manager's messages. What arrives may be longer, padded with
/// zeros to what the wire has room for (56 and 196 bytes).
///
/// | bytes | request (REQ)                 | reply (REP)            |
/// |-------|-------------------------------|------------------------|
/// | 0     | version, 2                    | version, 2             |
/// | 1     | largest MTU, as ibv_mtu has it| MTU of the connection  |
/// | 2     | queue pairs in all, 1 to 16   | the same               |
/// | 3     | which of them, from 0         | the same               |
/// | 4..19 | token                         |                        |
///
/// The MTU is agreed here because a receiver refuses packets of another than its own, and each side
/// may have been told to use a smaller one.
///
/// Each queue pair is a connection of its own to the manager. The initiator says how many, and
/// requests the next only when the one before has been granted: so the endpoints of two initiators
/// never mix, since the second is turned away at its queue pair 0.
///
/// Version 1 had one queue pair, and zeros in bytes 2 and 3; it and this turn each other away.
namespace grainfabric::transport::verbs {

inline constexpr std::uint8_t kHelloVersion = 2;

struct HelloReply {
  std::uint8_t version = kHelloVersion;
  std::uint8_t mtu = 0;
  std::uint8_t queue_pairs = 1;
  std::uint8_t index = 0;
};
static_assert(sizeof(HelloReply) == 4);

struct HelloRequest {
  HelloReply head;
  Token token;
};
static_assert(sizeof(HelloRequest) == 20 && offsetof(HelloRequest, token) == 4);

/// What a peer said; nothing if that is too short or of another version, or a value makes no sense.
template <typename T>
std::optional<T> parse_hello(std::span<const std::byte> data) {
  T hello;
  if (data.size() < sizeof hello) return std::nullopt;
  std::memcpy(static_cast<void*>(&hello), data.data(), sizeof hello);
  HelloReply head;
  std::memcpy(&head, data.data(), sizeof head);
  if (head.version != kHelloVersion || head.mtu < 1 || head.mtu > 5) return std::nullopt;
  if (head.queue_pairs > kMaxQueuePairs || head.index >= head.queue_pairs) return std::nullopt;
  return hello;
}

/// Whether a request, or the reply to it, is for the queue pair that comes next after the first
/// `granted` of `queue_pairs`, which the first request says.
constexpr bool is_next(const HelloReply& head, std::size_t granted, std::size_t queue_pairs) {
  return head.index == granted && (granted == 0 || head.queue_pairs == queue_pairs);
}

}  // namespace grainfabric::transport::verbs
