// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/export.hpp"

namespace grainfabric::transport {

/// An IP address of an interface of this host that is up.
struct LocalAddress {
  std::string interface;
  std::string text;  ///< Numeric, with %scope for link-local IPv6.
  int family;        ///< AF_INET or AF_INET6.
  bool link_local;
};

/// Throws Error. Any thread.
GRAINFABRIC_API std::vector<LocalAddress> local_addresses();

/// The numeric local address that `interface=` names: an interface ("eth0", the name a soft-RoCE or
/// RNIC's netdev has) or one of this host's addresses. For a name with several addresses, the one
/// of the family of `like` (a numeric address; may be empty) comes first, then global ones before
/// link-local ones. Throws Error(unknown_interface) with the interfaces there are. Any thread.
GRAINFABRIC_API std::string local_address_of(const std::string& interface,
                                             const std::string& like = {});

/// The interface that holds a numeric local address, for messages; "" if none does.
GRAINFABRIC_API std::string interface_of(const std::string& address);

/// Largest packet of an interface (by name, or by an address of it), in bytes; 0 where there is no
/// such interface. Any thread.
GRAINFABRIC_API std::size_t mtu_of(const std::string& interface);

/// Whether nothing that goes there leaves this host; as mtu_of(). Any thread.
GRAINFABRIC_API bool is_loopback(const std::string& interface);

/// What decides between the transports that need no RDMA device (measured: src/README.md).
struct PathFacts {
  std::size_t mtu = 0;        ///< mtu_of() the interface; 0: unknown.
  bool tcp_is_paced = false;  ///< By BBR, if that is the host's congestion control; not within it.
};

/// As mtu_of(). Any thread.
GRAINFABRIC_API PathFacts facts_of(const std::string& interface);

}  // namespace grainfabric::transport
