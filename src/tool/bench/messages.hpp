// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/glib_ptr.hpp"
#include "base/token.hpp"
#include "session/protocol.hpp"
#include "transport/transport.hpp"

/// What client and server of a benchmark say to each other over a control channel. Each message is
/// a struct; encode() gives the fields of its frame, decode() checks what a peer sent and throws
/// Error. C = client, S = server.
///
///     C -> S  HELLO      who I am, version, transports I have
///     S -> C  WELCOME    the transport to use and why
///     for each size:
///     C -> S  ROUND      what to do and where acknowledgements go
///     S -> C  READY      memory, address and token of the data connection
///             (data connection; some messages to warm up)
///     C -> S  START      from here on it counts
///             (messages; each is acknowledged by an injected write with its slot as immediate)
///     C -> S  END        that was all
///     S -> C  RESULT     what it took here, and whether the bytes were right
///     C -> S  BYE        the server closes
///     either  HEARTBEAT, every protocol::kHeartbeat; REFUSE (protocol::Refuse), then it closes
namespace grainfabric::tool {

inline constexpr std::uint64_t kBenchVersion = 1;

/// Apart from protocol::Type, of which only REFUSE is used: an element that meets a benchmark, or
/// the other way round, hears a reason.
enum class Type : std::uint16_t {
  refuse = static_cast<std::uint16_t>(protocol::Type::refuse),
  hello = 256,
  welcome = 257,
  round = 258,
  ready = 259,
  start = 260,
  end = 261,
  result = 262,
  bye = 263,
  heartbeat = 264,
};

enum class Operation { write, read, send };
const char* to_string(Operation operation) noexcept;
/// Throws Error(invalid_argument).
Operation operation_from_string(const std::string& name);

struct Hello {
  static constexpr Type kType = Type::hello;
  std::uint64_t version = kBenchVersion;
  std::string software;
  std::vector<std::string> offers;  ///< Providers, best first.
  std::string host_hint;            ///< transport::local::same_host_hint().
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Hello decode(GVariant* fields);
};

struct Welcome {
  static constexpr Type kType = Type::welcome;
  std::string software;
  std::string host;
  std::string provider;
  std::string reason;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Welcome decode(GVariant* fields);
};

struct Round {
  static constexpr Type kType = Type::round;
  Operation operation = Operation::write;
  std::uint64_t size = 0;    ///< Bytes of a message.
  std::uint64_t depth = 0;   ///< Messages in flight, and slots in the server's memory.
  std::uint64_t pieces = 1;  ///< Immediates of a written message.
  bool verify = false;
  std::uint64_t seed = 0;                   ///< Of the pattern, where verify.
  transport::RemoteMemory acknowledgement;  ///< Eight bytes of the client's.
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Round decode(GVariant* fields);
};

struct Ready {
  static constexpr Type kType = Type::ready;
  transport::RemoteMemory memory;  ///< `depth` slots of `size`, back to back.
  transport::Address address;
  Token token;
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Ready decode(GVariant* fields);
};

struct Result {
  static constexpr Type kType = Type::result;
  std::uint64_t messages = 0;         ///< Seen by the server, warm-up included; reads are not seen.
  std::uint64_t verified = 0;         ///< Of them, compared and equal.
  std::uint64_t cpu_nanoseconds = 0;  ///< Of the server's process from START to END.
  [[nodiscard]] GlibPtr<GVariant> encode() const;
  static Result decode(GVariant* fields);
};

/// A message without fields.
template <Type type>
struct Signal {
  static constexpr Type kType = type;
  [[nodiscard]] GlibPtr<GVariant> encode() const { return protocol::encode_heartbeat(); }
};
using Start = Signal<Type::start>;
using End = Signal<Type::end>;
using Bye = Signal<Type::bye>;
using Heartbeat = Signal<Type::heartbeat>;

struct Refuse : protocol::Refuse {
  static constexpr Type kType = Type::refuse;
};

}  // namespace grainfabric::tool
