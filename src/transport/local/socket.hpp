// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/fd.hpp"
#include "transport/transport.hpp"

/// The Unix sockets between two endpoints (SOCK_SEQPACKET, never blocking): they prove that both
/// are on one host, carry descriptors and wake-ups, and tell when the peer is gone.
namespace grainfabric::transport::local {

/// Where an endpoint listens: a random name, in a directory of this side's choice. Only the random
/// part travels, so that no peer can point anywhere else.
class SocketName {
 public:
  /// A new one. `directory` empty: an abstract name. Throws Error(invalid_argument) for a directory
  /// whose name is too long.
  static SocketName random(const std::string& directory);
  /// The peer's, in this side's directory. Throws Error for what is none.
  static SocketName of(const Address& address, const std::string& directory);

  [[nodiscard]] Address to_wire() const;
  [[nodiscard]] std::string text() const;

  [[nodiscard]] UniqueFd listen() const;
  /// Throws Error(unreachable) where nobody listens.
  [[nodiscard]] UniqueFd connect() const;
  /// Removes the file, where it is one.
  void remove() const noexcept;

 private:
  SocketName(const std::string& directory, std::string id);

  std::string id_;
  std::string path_;  // empty: abstract
  sockaddr_un address_{};
  socklen_t size_ = 0;
};

/// What a packet brought.
struct Packet {
  std::size_t size = 0;  ///< 0: the peer closed.
  UniqueFd file;
};

/// Sends `bytes`, with `file` if it is not -1. False: no room; the error is in errno.
bool send_packet(int socket, std::span<const std::byte> bytes, int file = -1) noexcept;
/// Nothing: there is none now. A broken connection counts as closed.
std::optional<Packet> receive_packet(int socket, std::span<std::byte> bytes) noexcept;

}  // namespace grainfabric::transport::local
