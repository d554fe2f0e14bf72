// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/socket.hpp"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>

#include "transport/udp/limits.hpp"

namespace grainfabric::transport::udp {
namespace {

constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;

bool set(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

int get(int fd, int level, int option, int otherwise) {
  int value = otherwise;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, option, &value, &size) == 0 ? value : otherwise;
}

}  // namespace

Socket::Socket(const SocketAddress& local)
    : family_(local.family()),
      fd_(::socket(local.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  if (!fd_) {
    throw Error::from_errno(errno, "Cannot open a UDP socket for " + describe(local),
                            "Raise the limit on open files (ulimit -n).");
  }
  if (::bind(fd(), &local.any, local.size) != 0) {
    const int error = errno;
    if (error == EADDRNOTAVAIL || error == ENODEV) {
      throw Error(ErrorCode::unknown_interface,
                  "No interface of this host has the address " + describe(local),
                  "Name an interface or address that is there and up.");
    }
    throw Error::from_errno(error, "Cannot use " + describe(local) + " for udp");
  }
  // Beyond net.core.rmem_max with CAP_NET_ADMIN only; what we get is what we tell the peer.
  if (!set(fd(), SOL_SOCKET, SO_RCVBUFFORCE, kSocketBuffer)) {
    set(fd(), SOL_SOCKET, SO_RCVBUF, kSocketBuffer);
  }
  if (!set(fd(), SOL_SOCKET, SO_SNDBUFFORCE, kSocketBuffer)) {
    set(fd(), SOL_SOCKET, SO_SNDBUF, kSocketBuffer);
  }
  // Not fragmented, and whatever the kernel believes about the path: RFC 8899 finds out itself.
  if (family_ == AF_INET) {
    set(fd(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  } else {
    set(fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  }
  set(fd(), SOL_UDP, UDP_GRO, 1);                           // Linux 5.0; without it only more calls
  can_segment_ = get(fd(), SOL_UDP, UDP_SEGMENT, -1) >= 0;  // Linux 4.18
}

SocketAddress Socket::name() const {
  SocketAddress name;
  name.size = sizeof name.v6;
  if (::getsockname(fd(), &name.any, &name.size) != 0) {
    throw Error::from_errno(errno, "Cannot get the address of a UDP socket");
  }
  return name;
}

void Socket::connect(const SocketAddress& peer) {
  if (::connect(fd(), &peer.any, peer.size) != 0) {
    throw Error::from_errno(errno, "Cannot send to " + describe(peer) + " by udp",
                            "Check that there is a route between the data addresses.");
  }
}

std::size_t Socket::receive_window() const {
  // The kernel tells twice what was asked: the other half is for its own structures.
  return static_cast<std::size_t>(get(fd(), SOL_SOCKET, SO_RCVBUF, 1 << 17)) / 2;
}

std::size_t Socket::largest_datagram() const {
  const bool is_v4 = family_ == AF_INET;
  const int mtu = is_v4 ? get(fd(), IPPROTO_IP, IP_MTU, 0) : get(fd(), IPPROTO_IPV6, IPV6_MTU, 0);
  const std::size_t headers = kUdpHeader + (is_v4 ? kIpv4Header : kIpv6Header);
  const std::size_t whole = mtu > 0 ? static_cast<std::size_t>(mtu) : 0;
  return std::clamp(whole > headers ? whole - headers : 0, kBaseDatagram, kMaxDatagram);
}

}  // namespace grainfabric::transport::udp
