// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace grainfabric::test {

/// What a network does that fails: ends the control connections at `port`, both ends of them in
/// this process, without anybody having asked for it.
inline int cut(std::uint16_t port) {
  int ended = 0;
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in own{};
    sockaddr_in peer{};
    socklen_t size = sizeof own;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) continue;
    size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (own.sin_family != AF_INET || ntohs(own.sin_port) != port) continue;
    ended += ::shutdown(fd, SHUT_RDWR) == 0 ? 1 : 0;
  }
  return ended;
}

}  // namespace grainfabric::test
