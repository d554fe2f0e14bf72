// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/address.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <rdma/fi_cm.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "transport/ofi/error.hpp"

namespace grainfabric::transport::ofi {
namespace {

constexpr std::string_view kIpv4 = "FI_SOCKADDR_IN";
constexpr std::string_view kIpv6 = "FI_SOCKADDR_IN6";
constexpr std::string_view kString = "FI_ADDR_STR";

template <typename T>
std::optional<T> as(std::span<const std::byte> bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

[[noreturn]] void refuse(const Address& address, const std::string& why) {
  throw Error(ErrorCode::protocol, "The peer's data address " + describe(address) + " " + why);
}

bool is_wildcard(const Address& address) {
  if (address.format == kIpv4) {
    const auto ip = as<sockaddr_in>(address.bytes);
    return ip && ip->sin_addr.s_addr == htonl(INADDR_ANY);
  }
  if (address.format == kIpv6) {
    const auto ip = as<sockaddr_in6>(address.bytes);
    return ip && IN6_IS_ADDR_UNSPECIFIED(&ip->sin6_addr);
  }
  return false;
}

void validate_ipv4(const Address& peer) {
  const auto ip = as<sockaddr_in>(peer.bytes);
  if (!ip || ip->sin_family != AF_INET) refuse(peer, "is no IPv4 address");
  const std::uint32_t host = ntohl(ip->sin_addr.s_addr);
  if (ip->sin_port == 0 || host == INADDR_ANY || host == INADDR_BROADCAST || IN_MULTICAST(host)) {
    refuse(peer, "is none that one can connect to");
  }
}

void validate_ipv6(Address& peer, std::span<const std::byte> own) {
  auto ip = as<sockaddr_in6>(peer.bytes);
  if (!ip || ip->sin6_family != AF_INET6) refuse(peer, "is no IPv6 address");
  if (ip->sin6_port == 0 || IN6_IS_ADDR_UNSPECIFIED(&ip->sin6_addr) ||
      IN6_IS_ADDR_MULTICAST(&ip->sin6_addr)) {
    refuse(peer, "is none that one can connect to");
  }
  std::uint32_t scope = 0;
  if (IN6_IS_ADDR_LINKLOCAL(&ip->sin6_addr)) {
    const auto mine = as<sockaddr_in6>(own);
    if (!mine || mine->sin6_scope_id == 0) {
      throw Error(ErrorCode::invalid_argument,
                  "The peer's data address " + describe(peer) +
                      " is link-local and this side does not know on which link",
                  "Name the interface here too, or use global addresses.");
    }
    scope = mine->sin6_scope_id;
  }
  ip->sin6_scope_id = scope;
  ip->sin6_flowinfo = 0;
  std::memcpy(peer.bytes.data(), &*ip, sizeof *ip);
}

/// shm makes a file name of it: a scheme, then no more directories.
void validate_string(const Address& peer) {
  const std::string_view text(reinterpret_cast<const char*>(peer.bytes.data()), peer.bytes.size());
  const std::size_t end = text.find('\0');
  constexpr std::string_view kScheme = "fi_shm://";
  constexpr std::size_t kLongest = 128;  // shm's own limit is 256 with what it appends
  if (end == std::string_view::npos || end > kLongest || end != text.size() - 1 ||
      !text.starts_with(kScheme) || end == kScheme.size()) {
    refuse(peer, "is no name of a shared memory endpoint");
  }
  const std::string_view name = text.substr(kScheme.size(), end - kScheme.size());
  if (!std::all_of(name.begin(), name.end(), [](unsigned char c) {
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return is_letter || (c >= '0' && c <= '9') || c == ':' || c == '_' || c == '-';
      })) {
    refuse(peer, "is no name of a shared memory endpoint");
  }
}

std::string hexadecimal(std::span<const std::byte> bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  constexpr std::size_t kShown = 32;  // enough to recognise one in a log
  std::string text;
  for (const std::byte byte : bytes.first(std::min(bytes.size(), kShown))) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return bytes.size() > kShown ? text + "…" : text;
}

std::string numeric(std::span<const std::byte> bytes, bool brackets) {
  std::array<char, NI_MAXHOST> host;
  std::array<char, NI_MAXSERV> port;
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(bytes.data()),
                    static_cast<socklen_t>(bytes.size()), host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return hexadecimal(bytes);
  }
  const std::string name = host.data();
  return (brackets ? "[" + name + "]" : name) + ":" + port.data();
}

}  // namespace

std::string format_name(std::uint32_t addr_format, const void* address, std::size_t size) {
  // Some providers only say "a socket address"; which one travels by its own name.
  if (addr_format == FI_SOCKADDR && address != nullptr && size >= sizeof(sa_family_t)) {
    sa_family_t family = 0;
    std::memcpy(&family, address, sizeof family);
    if (family == AF_INET) return std::string(kIpv4);
    if (family == AF_INET6) return std::string(kIpv6);
  }
  return fi_tostr(&addr_format, FI_TYPE_ADDR_FORMAT);
}

Address name_of(fid_t fid, std::uint32_t addr_format, const std::string& device) {
  Address name;
  name.bytes.resize(kMaxAddress);
  std::size_t size = name.bytes.size();
  check(fi_getname(fid, name.bytes.data(), &size),
        "Cannot get the address of an endpoint of " + device);
  if (size > kMaxAddress) {
    throw Error(ErrorCode::unsupported, "Addresses of " + device + " are " + std::to_string(size) +
                                            " bytes long, more than fit in a handshake");
  }
  name.bytes.resize(size);
  name.format = format_name(addr_format, name.bytes.data(), size);
  if (is_wildcard(name)) {
    throw Error(ErrorCode::invalid_argument,
                device + " would listen on all interfaces, which is no address for a peer",
                "Set the interface or local address for data connections.");
  }
  return name;
}

Address validated(const Address& peer, const std::string& own_format,
                  std::span<const std::byte> own) {
  if (peer.bytes.empty() || peer.bytes.size() > kMaxAddress) refuse(peer, "has no proper length");
  Address checked = peer;
  if (checked.format == kIpv4) {
    validate_ipv4(checked);
  } else if (checked.format == kIpv6) {
    validate_ipv6(checked, own);
  } else if (checked.format == kString) {
    validate_string(checked);
  } else if (!own.empty() && checked.bytes.size() != own.size()) {
    refuse(checked, "has not the length of such addresses");
  }
  const auto is_ip = [](std::string_view format) { return format == kIpv4 || format == kIpv6; };
  // A side bound to no address connects to either family.
  const bool fits =
      checked.format == own_format || (own.empty() && is_ip(checked.format) && is_ip(own_format));
  if (!fits) {
    throw Error(ErrorCode::invalid_argument,
                "The peer's data address " + describe(peer) + " is of another kind (" +
                    (peer.format.size() < 32 ? peer.format : std::string("unknown")) +
                    ") than this side's (" + own_format + ")",
                "Use the same provider and the same IP version on both sides.");
  }
  return checked;
}

std::string describe(const Address& address) {
  const std::span<const std::byte> bytes(address.bytes);
  if (address.format == kIpv4 && bytes.size() == sizeof(sockaddr_in)) return numeric(bytes, false);
  if (address.format == kIpv6 && bytes.size() == sizeof(sockaddr_in6)) return numeric(bytes, true);
  if (address.format == kString) {
    std::string text;
    for (const std::byte byte : bytes) {
      const auto c = std::to_integer<unsigned char>(byte);
      if (c == 0 || text.size() == 64) break;
      text += c >= ' ' && c < 127 ? static_cast<char>(c) : '?';
    }
    return "\"" + text + "\"";
  }
  return hexadecimal(bytes);
}

}  // namespace grainfabric::transport::ofi
