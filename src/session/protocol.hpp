// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/glib_ptr.hpp"
#include "base/token.hpp"
#include "session/stream_event.hpp"
#include "session/terms.hpp"  // IWYU pragma: export
#include "transfer/rail.hpp"
#include "transport/transport.hpp"

/// Messages of the control channel. Each is a struct; encode() gives the fields of its frame, and
/// decode() checks what a peer sent and throws Error(protocol). I = initiator, T = target.
///
///     I -> T  HELLO       who I am, versions, transports I have, first sequence to come
///     T -> I  WELCOME     transport to use and why, last sequence I have of yours   (or REFUSE)
///     I -> T  EVENT …     sticky events of the stream, then all events as they come
///     I -> T  CONFIG      a ring of this many slots of this capacity, please: a new epoch
///     T -> I  RING        where it is, its key, the address and token of the data connection
///             (data connection; grains from I, credits from T)
///     I -> T  HEARTBEAT   T -> I  STATUS   both every kHeartbeat
///     T -> I  UPSTREAM    an event against the stream
///     either  BYE         I: all up to this sequence was sent; T: I have it all / I am leaving
namespace grainfabric::protocol {

inline constexpr std::uint64_t kVersion = 1;

enum class Type : std::uint16_t {
  hello = 1,
  welcome = 2,
  refuse = 3,
  config = 4,
  ring = 5,
  event = 6,
  upstream = 7,
  heartbeat = 8,
  status = 9,
  bye = 10,
};
/// As frames carry it.
constexpr std::uint16_t number(Type type) {
  return static_cast<std::uint16_t>(type);
}

struct Hello {
  std::uint64_t version = kVersion;
  Token stream;    ///< Identity of the initiator for its whole life, over all its sessions.
  Token instance;  ///< Of the process.
  std::string host;
  std::string software;
  std::vector<std::string> offers;  ///< Providers, best first.
  std::string passed_over;          ///< Which it does not offer although it could, and why.
  std::uint64_t next_sequence = 1;
  std::string host_hint;  ///< transport::local::same_host_hint(); may be empty.
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Hello decode(GVariant* fields);
};

struct Welcome {
  std::uint64_t version = kVersion;
  Token instance;
  std::string provider;
  std::string reason;
  bool known = false;               ///< The target remembers this stream, and …
  std::uint64_t last_sequence = 0;  ///< … delivered it up to here.
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Welcome decode(GVariant* fields);
};

struct Refuse {
  ErrorCode code = ErrorCode::refused;
  std::string text;
  std::string provider;  ///< The transport that is the reason, where it is one.
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Refuse decode(GVariant* fields);
};

struct Config {
  std::uint64_t epoch = 0;  ///< 1, 2, … within a session.
  std::uint64_t capacity = 0;
  std::uint64_t slots = 0;
  Announce announce = Announce::last_piece;
  transport::RemoteMemory credit;  ///< Eight bytes of the initiator's, where credits are written.
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Config decode(GVariant* fields);
};

struct Ring {
  std::uint64_t epoch = 0;
  std::uint64_t capacity = 0;
  std::uint64_t slots = 0;
  transport::RemoteMemory memory;
  transport::Address address;
  Token token;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Ring decode(GVariant* fields);
};

struct Event {
  std::uint64_t number = 0;  ///< 1, 2, … within a session.
  std::uint64_t after = 0;   ///< The grain it follows.
  StreamEvent event;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Event decode(GVariant* fields);
};

struct Upstream {
  StreamEvent event;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Upstream decode(GVariant* fields);
};

struct Status {
  std::uint64_t delivered = 0;         ///< Last sequence handed over.
  std::uint64_t events_delivered = 0;  ///< Of this session.
  std::uint64_t events_taken = 0;      ///< … and taken by the target's pipeline.
  std::uint64_t latency_p50 = 0;
  std::uint64_t latency_p99 = 0;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Status decode(GVariant* fields);
};

struct Bye {
  std::uint64_t last_sequence = 0;
  std::string text;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Bye decode(GVariant* fields);
};

/// A HEARTBEAT has no fields.
GlibPtr<GVariant> encode_heartbeat();

/// Identity of this process, the same for all its sessions.
const Token& process_instance();

}  // namespace grainfabric::protocol
