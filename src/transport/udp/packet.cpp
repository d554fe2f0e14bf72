// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/packet.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "transport/udp/limits.hpp"

namespace grainfabric::transport::udp {
namespace {

enum class Type : std::uint8_t { hello = 1, challenge, welcome, data, ack, ping, close };

constexpr std::size_t kHelloFields = 56;
static_assert(kHelloFields <= kBaseDatagram);
static_assert(kMaxAckSize <= kBaseDatagram && kMaxAckRanges <= 255);

template <typename T>
T in_wire_order(T value) noexcept {
  if constexpr (std::endian::native == std::endian::little || sizeof(T) == 1) return value;
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof value);
  std::reverse(bytes.begin(), bytes.end());
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <typename T>
T get(std::span<const std::byte> from, std::size_t at) noexcept {
  T value;
  std::memcpy(&value, from.data() + at, sizeof value);
  return in_wire_order(value);
}

template <typename T>
void put(std::span<std::byte> to, std::size_t at, T value) noexcept {
  value = in_wire_order(value);
  std::memcpy(to.data() + at, &value, sizeof value);
}

std::array<std::byte, 16> get_16(std::span<const std::byte> from, std::size_t at) noexcept {
  std::array<std::byte, 16> bytes;
  std::memcpy(bytes.data(), from.data() + at, bytes.size());
  return bytes;
}

void put_header(std::span<std::byte> to, Type type, std::uint8_t kind, std::uint8_t flags,
                std::uint32_t word, std::uint64_t connection, std::uint64_t number) noexcept {
  put(to, 0, static_cast<std::uint8_t>(type));
  put(to, 1, kVersion);
  put(to, 2, kind);
  put(to, 3, flags);
  put(to, 4, word);
  put(to, 8, connection);
  put(to, 16, number);
}

Packet parse_ack(std::span<const std::byte> from) noexcept {
  Ack ack;
  ack.count = get<std::uint8_t>(from, 2);
  if (ack.count == 0 || ack.count > kMaxAckRanges) return {};
  if (from.size() != kAckHeaderSize + 8 * ack.count) return {};
  ack.delay_us = get<std::uint32_t>(from, 4);
  ack.connection = get<std::uint64_t>(from, 8);
  ack.number = get<std::uint64_t>(from, 16);
  ack.landed = get<std::uint64_t>(from, 24);
  std::uint64_t below = get<std::uint64_t>(from, 32);  // the next lower number to speak of
  for (std::size_t i = 0; i < ack.count; ++i) {
    const auto missing = get<std::uint32_t>(from, kAckHeaderSize + 8 * i);
    const auto length = get<std::uint32_t>(from, kAckHeaderSize + 8 * i + 4);
    if (length == 0 || (i == 0) != (missing == 0)) return {};
    if (below < missing || below - missing < length - 1U) return {};
    const std::uint64_t last = below - missing;
    ack.ranges[i] = {last - (length - 1U), last};
    if (i + 1 < ack.count && ack.ranges[i].first == 0) return {};
    below = ack.ranges[i].first - 1;  // wraps after the last range only
  }
  return ack;
}

}  // namespace

Packet parse(std::span<const std::byte> from) noexcept {
  if (from.size() < kHeaderSize || get<std::uint8_t>(from, 1) != kVersion) return {};
  const auto word = get<std::uint32_t>(from, 4);
  const auto connection = get<std::uint64_t>(from, 8);
  const auto number = get<std::uint64_t>(from, 16);
  switch (static_cast<Type>(get<std::uint8_t>(from, 0))) {
    case Type::hello:
      if (from.size() != kBaseDatagram) return {};
      return Hello{connection, Token{get_16(from, 24)}, get_16(from, 40), word};
    case Type::challenge:
      if (from.size() != kChallengeSize) return {};
      return Challenge{connection, get_16(from, 24)};
    case Type::welcome:
      if (from.size() != kHeaderSize) return {};
      return Welcome{connection, number, word};
    case Type::data: {
      Data data;
      if (from.size() < kDataHeaderSize ||
          !parse_data(from.first<kDataHeaderSize>(), from.subspan(kDataHeaderSize), &data)) {
        return {};
      }
      return data;
    }
    case Type::ack:
      return from.size() < kAckHeaderSize ? Packet() : parse_ack(from);
    case Type::ping:
      return Ping{connection, number};
    case Type::close:
      if (from.size() != kHeaderSize) return {};
      return Close{connection, word == 0 ? Reason::done : Reason::violation};
  }
  return {};
}

bool parse_data(std::span<const std::byte, kDataHeaderSize> header,
                std::span<const std::byte> payload, Data* data) noexcept {
  const auto kind = get<std::uint8_t>(header, 2);
  const auto flags = get<std::uint8_t>(header, 3);
  if (get<std::uint8_t>(header, 0) != static_cast<std::uint8_t>(Type::data) ||
      get<std::uint8_t>(header, 1) != kVersion || kind < static_cast<std::uint8_t>(Kind::write) ||
      kind > static_cast<std::uint8_t>(Kind::read_data) || (flags & ~kAllFlags) != 0) {
    return false;
  }
  data->kind = static_cast<Kind>(kind);
  data->flags = flags;
  data->immediate = get<std::uint32_t>(header, 4);
  data->connection = get<std::uint64_t>(header, 8);
  data->number = get<std::uint64_t>(header, 16);
  data->position = get<std::uint64_t>(header, 24);
  data->address = get<std::uint64_t>(header, 32);
  data->key = get<std::uint64_t>(header, 40);
  data->left = get<std::uint32_t>(header, 48);
  data->payload = payload;
  return payload.size() <= kMaxDatagram;
}

bool parse_read_request(std::span<const std::byte> payload, ReadRequest* request) noexcept {
  if (payload.size() != ReadRequest::kSize) return false;
  request->address = get<std::uint64_t>(payload, 0);
  request->key = get<std::uint64_t>(payload, 8);
  request->length = get<std::uint64_t>(payload, 16);
  request->number = get<std::uint64_t>(payload, 24);
  return true;
}

std::size_t write(const Hello& hello, std::span<std::byte> to) noexcept {
  std::memset(to.data(), 0, kBaseDatagram);
  put_header(to, Type::hello, 0, 0, hello.window, hello.connection, 0);
  std::memcpy(to.data() + 24, hello.token.bytes.data(), 16);
  std::memcpy(to.data() + 40, hello.cookie.data(), 16);
  return kBaseDatagram;
}

std::size_t write(const Challenge& challenge, std::span<std::byte> to) noexcept {
  put_header(to, Type::challenge, 0, 0, 0, challenge.connection, 0);
  std::memcpy(to.data() + 24, challenge.cookie.data(), 16);
  return kChallengeSize;
}

std::size_t write(const Welcome& welcome, std::span<std::byte> to) noexcept {
  put_header(to, Type::welcome, 0, 0, welcome.window, welcome.connection, welcome.target);
  return kHeaderSize;
}

std::size_t write(const Data& data, std::span<std::byte, kDataHeaderSize> to) noexcept {
  put_header(to, Type::data, static_cast<std::uint8_t>(data.kind), data.flags, data.immediate,
             data.connection, data.number);
  put(to, 24, data.position);
  put(to, 32, data.address);
  put(to, 40, data.key);
  put(to, 48, data.left);
  std::memset(to.data() + 52, 0, kDataHeaderSize - 52);
  return kDataHeaderSize;
}

std::size_t write(const Ack& ack, std::span<std::byte> to) noexcept {
  put_header(to, Type::ack, static_cast<std::uint8_t>(ack.count), 0, ack.delay_us, ack.connection,
             ack.number);
  put(to, 24, ack.landed);
  put(to, 32, ack.ranges[0].last);
  put(to, 40, std::uint64_t{0});
  for (std::size_t i = 0; i < ack.count; ++i) {
    const AckRange& range = ack.ranges[i];
    const std::uint64_t missing = i == 0 ? 0 : ack.ranges[i - 1].first - 1 - range.last;
    put(to, kAckHeaderSize + 8 * i, static_cast<std::uint32_t>(missing));
    put(to, kAckHeaderSize + 8 * i + 4, static_cast<std::uint32_t>(range.last - range.first + 1));
  }
  return kAckHeaderSize + 8 * ack.count;
}

std::size_t write(const Ping& ping, std::span<std::byte> to) noexcept {
  std::memset(to.data(), 0, to.size());
  put_header(to, Type::ping, 0, 0, 0, ping.connection, ping.number);
  return to.size();
}

std::size_t write(const Close& close, std::span<std::byte> to) noexcept {
  put_header(to, Type::close, 0, 0, static_cast<std::uint32_t>(close.reason), close.connection, 0);
  return kHeaderSize;
}

void write(const ReadRequest& request, std::span<std::byte, ReadRequest::kSize> to) noexcept {
  put(to, 0, request.address);
  put(to, 8, request.key);
  put(to, 16, request.length);
  put(to, 24, request.number);
}

}  // namespace grainfabric::transport::udp
