// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/device_address.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "transport/verbs/handles.hpp"

namespace grainfabric::transport::verbs {
namespace {

/// More than a port has; the table of mlx5 has 256 entries, most of them empty.
constexpr std::size_t kMaxGids = 512;

std::vector<DeviceAddress> addresses_of(ibv_device* device) {
  std::vector<DeviceAddress> found;
  const DeviceContext context(ibv_open_device(device));
  if (!context) return found;
  std::array<ibv_gid_entry, kMaxGids> gids{};
  const ssize_t count = ibv_query_gid_table(context.get(), gids.data(), gids.size(), 0);
  for (ssize_t i = 0; i < count; ++i) {
    const ibv_gid_entry& gid = gids[static_cast<std::size_t>(i)];
    if (gid.gid_type == IBV_GID_TYPE_IB) continue;
    const IpAddress address = IpAddress::from_gid(gid.gid, gid.ndev_ifindex);
    const bool known = std::any_of(found.begin(), found.end(), [&](const DeviceAddress& other) {
      return other.address.same_host(address);  // RoCE v1 and v2 have an entry each
    });
    if (!known) {
      found.push_back({ibv_get_device_name(device), static_cast<int>(gid.port_num), address});
    }
  }
  return found;
}

}  // namespace

std::vector<DeviceAddress> device_addresses() {
  std::vector<DeviceAddress> all;
  for (ibv_device* device : DeviceList()) {
    const auto more = addresses_of(device);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::string list_devices() {
  const auto all = device_addresses();
  std::string text;
  for (ibv_device* device : DeviceList()) {
    const std::string name = ibv_get_device_name(device);
    std::string addresses;
    for (const DeviceAddress& one : all) {
      if (one.device == name) addresses += (addresses.empty() ? "" : ", ") + one.address.text();
    }
    text += (text.empty() ? "" : ", ") + name;
    if (!addresses.empty()) text += " (" + addresses + ")";
  }
  return text.empty() ? "none" : text;
}

IpAddress address_to_bind(const std::string& local_address, const Settings& settings) {
  std::optional<IpAddress> wanted;
  if (!local_address.empty()) wanted = IpAddress::parse(local_address);
  const bool is_free = settings.device.empty() && settings.port == 0;
  if (wanted && is_free) return *wanted;
  const auto distance = [&](const IpAddress& address) {
    if (wanted && address.same_host(*wanted)) return 0;
    const int family = wanted ? wanted->family() : AF_INET;
    return 1 + (address.is_link_local() ? 2 : 0) + (address.family() == family ? 0 : 1);
  };
  std::optional<IpAddress> best;
  for (const DeviceAddress& one : device_addresses()) {
    const bool matches = (settings.device.empty() || settings.device == one.device) &&
                         (settings.port == 0 || settings.port == one.port);
    if (matches && (!best || distance(one.address) < distance(*best))) best = one.address;
  }
  if (best) return *best;
  if (wanted) return *wanted;  // native InfiniBand: binding tells which device that is
  throw Error(ErrorCode::unknown_interface,
              "No RDMA device has an IP address" +
                  (settings.device.empty() ? "" : " and is called " + settings.device),
              "Set an interface, or device in [verbs], to one of: " + list_devices() + ".");
}

}  // namespace grainfabric::transport::verbs
