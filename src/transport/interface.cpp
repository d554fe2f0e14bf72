// SPDX-License-Identifier: Apache-2.0
#include "transport/interface.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace grainfabric::transport {
namespace {

/// Asks the kernel about an interface, by name or by an address of it (netdevice(7)).
bool ask(const std::string& interface, unsigned long what, ifreq* answer) {
  const std::string holder = interface_of(interface);
  const std::string& name = holder.empty() ? interface : holder;
  if (name.empty() || name.size() >= sizeof answer->ifr_name) return false;
  name.copy(answer->ifr_name, name.size());
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return any && ::ioctl(any.get(), what, answer) == 0;
}

}  // namespace

std::vector<LocalAddress> local_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) throw Error::from_errno(errno, "Cannot list network interfaces");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<LocalAddress> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    char host[NI_MAXHOST];
    if (::getnameinfo(entry->ifa_addr, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST) !=
        0) {
      continue;
    }
    const bool link_local =
        family == AF_INET6 &&
        IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr);
    addresses.push_back({entry->ifa_name, host, family, link_local});
  }
  return addresses;
}

std::string local_address_of(const std::string& interface, const std::string& like) {
  const std::vector<LocalAddress> all = local_addresses();
  std::vector<LocalAddress> matching;
  std::copy_if(all.begin(), all.end(), std::back_inserter(matching), [&](const LocalAddress& a) {
    return a.interface == interface || a.text == interface;
  });
  if (matching.empty()) {
    std::string known;
    for (const LocalAddress& a : all) {
      known += (known.empty() ? "" : ", ") + a.interface + " (" + a.text + ")";
    }
    throw Error(ErrorCode::unknown_interface,
                "No interface and no local address is called \"" + interface + "\"",
                "Present and up: " + (known.empty() ? "none" : known) + ".");
  }
  const int family = like.find(':') != std::string::npos ? AF_INET6 : AF_INET;
  const auto rank = [&](const LocalAddress& a) {
    return (!like.empty() && a.family != family ? 2 : 0) + (a.link_local ? 1 : 0);
  };
  return std::min_element(matching.begin(), matching.end(),
                          [&](const auto& a, const auto& b) { return rank(a) < rank(b); })
      ->text;
}

std::string interface_of(const std::string& address) {
  for (const LocalAddress& a : local_addresses()) {
    if (a.text == address) return a.interface;
  }
  return {};
}

std::size_t mtu_of(const std::string& interface) {
  ifreq answer{};
  return ask(interface, SIOCGIFMTU, &answer) ? static_cast<std::size_t>(answer.ifr_mtu) : 0;
}

bool is_loopback(const std::string& interface) {
  ifreq answer{};
  return ask(interface, SIOCGIFFLAGS, &answer) && (answer.ifr_flags & IFF_LOOPBACK) != 0;
}

PathFacts facts_of(const std::string& interface) {
  std::string congestion_control;
  std::ifstream("/proc/sys/net/ipv4/tcp_congestion_control") >> congestion_control;
  return {mtu_of(interface), congestion_control.starts_with("bbr") && !is_loopback(interface)};
}

}  // namespace grainfabric::transport
