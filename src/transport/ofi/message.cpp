// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/message.hpp"

#include <cstring>

namespace grainfabric::transport::ofi {

MessageHeader header(MessageKind kind, const Token& token) {
  MessageHeader made{kMessageMagic, kMessageVersion, static_cast<std::uint16_t>(kind), {}};
  std::memcpy(made.token, token.bytes.data(), sizeof made.token);
  return made;
}

std::optional<Message> parse(std::span<const std::byte> raw, const Token& token) {
  MessageHeader head;
  if (raw.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, raw.data(), sizeof head);
  if (head.magic != kMessageMagic || head.version != kMessageVersion) return std::nullopt;
  if (head.kind < static_cast<std::uint16_t>(MessageKind::hello) ||
      head.kind > static_cast<std::uint16_t>(MessageKind::immediate)) {
    return std::nullopt;
  }
  if (!token.matches(Token::from_bytes(head.token))) return std::nullopt;
  return Message{static_cast<MessageKind>(head.kind), raw.subspan(sizeof head)};
}

std::vector<std::byte> hello_body(const Address& own) {
  std::vector<std::byte> body;
  body.push_back(static_cast<std::byte>(own.format.size()));
  for (const char c : own.format) body.push_back(static_cast<std::byte>(c));
  body.insert(body.end(), own.bytes.begin(), own.bytes.end());
  return body;
}

std::optional<Address> parse_hello(std::span<const std::byte> body) {
  if (body.empty()) return std::nullopt;
  const auto format = std::to_integer<std::size_t>(body[0]);
  if (body.size() <= 1 + format || body.size() > 1 + format + kMaxAddress) return std::nullopt;
  Address address;
  address.format.assign(reinterpret_cast<const char*>(body.data() + 1), format);
  const auto bytes = body.subspan(1 + format);
  address.bytes.assign(bytes.begin(), bytes.end());
  return address;
}

}  // namespace grainfabric::transport::ofi
