// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "transport/verbs/ip_address.hpp"
#include "transport/verbs/settings.hpp"

/// Which RDMA device goes with which local address. Loop thread.
namespace grainfabric::transport::verbs {

/// An IP address that a port of a device has (RoCE: it stands in the GID table; a device of native
/// InfiniBand has none here, its addresses are those of IPoIB, which only the kernel maps).
struct DeviceAddress {
  std::string device;
  int port = 0;
  IpAddress address;
};

/// All that this host has now.
std::vector<DeviceAddress> device_addresses();

/// The address to bind: `local_address` (may be empty) unless the settings name a device or port
/// that does not have it; then one that is there, of the same IP version if possible, global before
/// link-local. Throws Error(unknown_interface) with the devices there are.
IpAddress address_to_bind(const std::string& local_address, const Settings& settings);

/// "rxe0 (10.0.0.1, fd00::1), mlx5_0", for messages.
std::string list_devices();

}  // namespace grainfabric::transport::verbs
