// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "base/token.hpp"

/// The datagrams of the udp transport. All numbers are little-endian.
///
/// Each begins with 24 bytes:
///
/// | at | size | what |
/// |---|---|---|
/// | 0 | 1 | type |
/// | 1 | 1 | version, 1 |
/// | 2 | 1 | DATA: kind. ACK: number of ranges |
/// | 3 | 1 | DATA: flags |
/// | 4 | 4 | DATA: immediate. ACK: microseconds it was held back. CLOSE: reason |
/// | | | HELLO, WELCOME: bytes that the sender's socket holds |
/// | 8 | 8 | connection id of the receiver. HELLO, CHALLENGE: of the initiator |
/// | 16 | 8 | DATA, PING: packet number, never used twice. ACK: number of the ACK |
/// | | | WELCOME: connection id of the target |
///
/// and goes on with
///
/// | type | at | size | what |
/// |---|---|---|---|
/// | HELLO | 24 | 16 | token |
/// | | 40 | 16 | cookie; at first zeros |
/// | | 56 | 1144 | zeros, so that no answer is longer |
/// | CHALLENGE | 24 | 16 | cookie: proves the address when it comes back |
/// | DATA | 24 | 8 | position in the stream |
/// | | 32 | 8 | write: address. Read data: offset |
/// | | 40 | 8 | write: key. Read request and data: number of the read |
/// | | 48 | 4 | bytes to come at the next positions and next addresses, as far as known |
/// | | 52 | 12 | zeros: room for an authentication tag; the payload begins with a cache line |
/// | | 64 | | payload |
/// | ACK | 24 | 8 | position up to which all has landed |
/// | | 32 | 8 | largest packet number that arrived |
/// | | 40 | 8 | zeros |
/// | | 48 | 8 each | ranges downwards: u32 numbers missing above it (first: 0), u32 in it |
/// | PING | 24 | | zeros, as many as the path is asked to carry |
///
/// WELCOME and CLOSE have nothing more.
namespace grainfabric::transport::udp {

inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::size_t kHeaderSize = 24;
inline constexpr std::size_t kDataHeaderSize = 64;
inline constexpr std::size_t kAckHeaderSize = 48;
inline constexpr std::size_t kChallengeSize = 40;
inline constexpr std::size_t kMaxAckRanges = 32;
inline constexpr std::size_t kMaxAckSize = kAckHeaderSize + 8 * kMaxAckRanges;

/// What a chunk of the stream is.
enum class Kind : std::uint8_t {
  write = 1,         ///< Goes to address under key, as soon as it is here.
  small_write = 2,   ///< Likewise, but after all before it. One chunk.
  message = 3,       ///< Part of a message.
  read_request = 4,  ///< Payload: ReadRequest.
  read_data = 5,     ///< Goes where the read of number `key` wants it.
};

/// Bits of Data::flags.
inline constexpr std::uint8_t kLast = 1;       ///< The operation ends here.
inline constexpr std::uint8_t kImmediate = 2;  ///< … with immediate data.
inline constexpr std::uint8_t kAckNow = 4;     ///< The sender waits for the ACK.
inline constexpr std::uint8_t kFirst = 8;      ///< The operation begins here.
inline constexpr std::uint8_t kAllFlags = 15;

/// Why a connection was closed by the peer.
enum class Reason : std::uint32_t { done = 0, violation = 1 };

struct Hello {
  std::uint64_t connection = 0;
  Token token;
  std::array<std::byte, 16> cookie{};
  std::uint32_t window = 0;
};
struct Challenge {
  std::uint64_t connection = 0;
  std::array<std::byte, 16> cookie{};
};
struct Welcome {
  std::uint64_t connection = 0;
  std::uint64_t target = 0;
  std::uint32_t window = 0;
};
struct Data {
  std::uint64_t connection = 0;
  std::uint64_t number = 0;
  std::uint64_t position = 0;
  std::uint64_t address = 0;
  std::uint64_t key = 0;
  std::uint32_t immediate = 0;
  std::uint32_t left = 0;
  Kind kind = Kind::write;
  std::uint8_t flags = 0;
  std::span<const std::byte> payload;
  /// Datagrams that arrived together and are as good as one (see Intake): packet numbers `number`
  /// and the next, `chunk` bytes of payload in each but the last.
  std::uint32_t datagrams = 1;
  std::uint32_t chunk = 0;

  /// Positions it takes: an empty write has one too, since it may carry an immediate.
  [[nodiscard]] std::uint64_t end() const noexcept {
    return position + (payload.empty() ? 1 : payload.size());
  }
};
/// Packet numbers [first, last] that arrived.
struct AckRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};
struct Ack {
  std::uint64_t connection = 0;
  std::uint64_t number = 0;
  std::uint64_t landed = 0;
  std::uint32_t delay_us = 0;
  std::size_t count = 0;
  std::array<AckRange, kMaxAckRanges> ranges;  ///< Downwards, not touching.
};
struct Ping {
  std::uint64_t connection = 0;
  std::uint64_t number = 0;
};
struct Close {
  std::uint64_t connection = 0;
  Reason reason = Reason::done;
};
/// Payload of Kind::read_request.
struct ReadRequest {
  static constexpr std::size_t kSize = 32;
  std::uint64_t address = 0;
  std::uint64_t key = 0;
  std::uint64_t length = 0;
  std::uint64_t number = 0;  ///< The requester's own.
};

using Packet = std::variant<std::monostate, Hello, Challenge, Welcome, Data, Ack, Ping, Close>;

/// What a datagram says; monostate where it is none of this version or contradicts itself. Pure:
/// any bytes may be given. Payloads point into `datagram`.
Packet parse(std::span<const std::byte> datagram) noexcept;
/// The same for a DATA datagram whose payload lies elsewhere than its header.
bool parse_data(std::span<const std::byte, kDataHeaderSize> header,
                std::span<const std::byte> payload, Data* data) noexcept;
bool parse_read_request(std::span<const std::byte> payload, ReadRequest* request) noexcept;

/// Writers; each returns the bytes written. HELLO is padded to kBaseDatagram.
std::size_t write(const Hello& hello, std::span<std::byte> to) noexcept;
std::size_t write(const Challenge& challenge, std::span<std::byte> to) noexcept;
std::size_t write(const Welcome& welcome, std::span<std::byte> to) noexcept;
std::size_t write(const Data& data, std::span<std::byte, kDataHeaderSize> to) noexcept;
std::size_t write(const Ack& ack, std::span<std::byte> to) noexcept;
/// Padded with zeros to the end of `to`.
std::size_t write(const Ping& ping, std::span<std::byte> to) noexcept;
std::size_t write(const Close& close, std::span<std::byte> to) noexcept;
void write(const ReadRequest& request, std::span<std::byte, ReadRequest::kSize> to) noexcept;

}  // namespace grainfabric::transport::udp
