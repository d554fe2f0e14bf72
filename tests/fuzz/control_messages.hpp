// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <tuple>

#include "session/protocol.hpp"
#include "tool/bench/messages.hpp"

/// Every message that comes over a control channel, for what fuzzes them all.
namespace grainfabric::fuzz {

template <typename T, auto message_type>
struct Kind {
  using Message = T;
  static constexpr auto kType = static_cast<std::uint16_t>(message_type);
};

using Kinds = std::tuple<
    Kind<protocol::Hello, protocol::Type::hello>, Kind<protocol::Welcome, protocol::Type::welcome>,
    Kind<protocol::Refuse, protocol::Type::refuse>, Kind<protocol::Config, protocol::Type::config>,
    Kind<protocol::Ring, protocol::Type::ring>, Kind<protocol::Event, protocol::Type::event>,
    Kind<protocol::Upstream, protocol::Type::upstream>,
    Kind<protocol::Status, protocol::Type::status>, Kind<protocol::Bye, protocol::Type::bye>,
    Kind<tool::Hello, tool::Type::hello>, Kind<tool::Welcome, tool::Type::welcome>,
    Kind<tool::Round, tool::Type::round>, Kind<tool::Ready, tool::Type::ready>,
    Kind<tool::Result, tool::Type::result>>;

/// Calls `visit` with the Kind of each message.
template <typename Visit>
void for_each_kind(Visit visit) {
  std::apply([&](auto... kinds) { (visit(kinds), ...); }, Kinds{});
}

/// Decodes the message as its receiver does; throws what decode() throws. What was understood once
/// must be so again when it is said again.
inline void decode_any(std::uint16_t type, GVariant* fields) {
  for_each_kind([&](auto kind) {
    using Message = typename decltype(kind)::Message;
    if (kind.kType != type) return;
    const GlibPtr<GVariant> again = Message::decode(fields).encode();
    try {
      static_cast<void>(Message::decode(again.get()));
    } catch (const Error&) {
      std::abort();
    }
  });
}

}  // namespace grainfabric::fuzz
