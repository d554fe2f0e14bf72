// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/within_host.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <rdma/fi_cm.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>

#include "base/log.hpp"
#include "transport/ofi/sockets.hpp"

namespace grainfabric::transport::ofi {
namespace {

/// Reno is the one that every kernel has and lets anybody choose. It does not pace.
constexpr std::string_view kUnpaced = "reno";

}  // namespace

void unpace_within_host(fid_ep* endpoint) noexcept {
  SocketAddress own;
  SocketAddress peer;
  if (fi_getname(&endpoint->fid, &own.storage, &own.size) != 0 ||
      fi_getpeer(endpoint, &peer.storage, &peer.size) != 0 ||
      !(own.has_host_of(peer) || own.is_loopback())) {
    return;
  }
  try {
    const int fd = socket_between(own, peer);
    if (fd >= 0 &&
        ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kUnpaced.data(), kUnpaced.size()) != 0) {
      log(LogLevel::debug, "ofi",
          "TCP within this host stays paced: " +
              std::error_code(errno, std::generic_category()).message());
    }
  } catch (const std::exception& error) {
    log(LogLevel::debug, "ofi",
        std::string("TCP within this host may stay paced: ") + error.what());
  }
}

}  // namespace grainfabric::transport::ofi
