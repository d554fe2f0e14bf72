// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/info.hpp"

#include <netdb.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "base/log.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/provider.hpp"

namespace grainfabric::transport::ofi {
namespace {

constexpr std::uint32_t kApiVersion = FI_VERSION(1, 17);
constexpr std::uint64_t kCapabilities =
    FI_MSG | FI_SEND | FI_RECV | FI_RMA | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE;

/// What Domain needs of a provider, and the modes it copes with.
Info hints_for(fi_ep_type type, const char* provider, bool ordered) {
  Info hints(fi_allocinfo());
  if (!hints) throw error_of(FI_ENOMEM, "Cannot ask libfabric for providers");
  hints->caps = kCapabilities;
  hints->mode = FI_CONTEXT | FI_CONTEXT2 | FI_RX_CQ_DATA;
  hints->ep_attr->type = type;
  hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
  hints->domain_attr->cq_data_size = sizeof(std::uint32_t);
  hints->domain_attr->threading = FI_THREAD_DOMAIN;
  hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
  hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
  if (ordered) {
    const bool messages_follow = provider != nullptr && announces_by_message(provider);
    hints->tx_attr->msg_order = FI_ORDER_WAW | (messages_follow ? FI_ORDER_SAW : 0);
  }
  // Freed with the hints, by free().
  if (provider != nullptr) hints->fabric_attr->prov_name = ::strdup(provider);
  return hints;
}

/// Null if nothing matches. Throws Error for anything else.
Info query(const fi_info& hints, const char* node, std::uint64_t flags) {
  fi_info* list = nullptr;
  const int result = fi_getinfo(kApiVersion, node, nullptr, flags, &hints, &list);
  if (result == -FI_ENODATA) return nullptr;
  check(result, "libfabric cannot list its providers");
  return Info(list);
}

std::vector<std::string> find_providers() {
  std::vector<std::string> names;
  for (const fi_ep_type type : {FI_EP_MSG, FI_EP_RDM}) {
    const Info list = query(*hints_for(type, nullptr, false), nullptr, 0);
    for (const fi_info* info = list.get(); info != nullptr; info = info->next) {
      const std::string name = info->fabric_attr->prov_name;
      const bool is_new = std::find(names.begin(), names.end(), name) == names.end();
      if (is_new && !is_broken(name)) names.push_back(name);
    }
  }
  const auto rank = [](const std::string& name) {
    return std::find(std::begin(kPlainNames), std::end(kPlainNames), name) -
           std::begin(kPlainNames);
  };
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return rank(a) != rank(b) ? rank(a) < rank(b) : a < b;
  });
  std::string line;
  for (const std::string& name : names) line += (line.empty() ? "" : ", ") + name;
  log(LogLevel::info, "ofi",
      library_version() + " has these providers: " + (line.empty() ? "none" : line) +
          " (RDMA devices that appear later need a restart)");
  return names;
}

/// The first entry of exactly that provider: libfabric also answers "tcp" with what is layered on
/// it.
Info first_of(const Info& list, const std::string& provider) {
  for (const fi_info* info = list.get(); info != nullptr; info = info->next) {
    if (provider == info->fabric_attr->prov_name) return duplicate(*info);
  }
  return nullptr;
}

Info choose_type(fi_ep_type type, const std::string& provider, const char* node) {
  const std::uint64_t flags = node == nullptr ? 0 : FI_SOURCE | FI_NUMERICHOST;
  for (const bool ordered : {true, false}) {
    if (ordered && !is_asked_for_order(provider)) continue;
    const Info hints = hints_for(type, provider.c_str(), ordered);
    if (Info info = first_of(query(*hints, node, flags), provider)) return info;
  }
  return nullptr;
}

/// "10.0.0.1", "fe80::1%eth0"; empty for what is no IP address.
std::string host_of(const fi_info& info) {
  char host[NI_MAXHOST];
  if (info.src_addr == nullptr || ::getnameinfo(static_cast<const sockaddr*>(info.src_addr),
                                                static_cast<socklen_t>(info.src_addrlen), host,
                                                sizeof host, nullptr, 0, NI_NUMERICHOST) != 0) {
    return {};
  }
  return host;
}

/// All that there is of the one type that choose() would take.
std::vector<DeviceInfo> devices_of(const std::string& provider) {
  std::vector<DeviceInfo> devices;
  for (const fi_ep_type type : {FI_EP_MSG, FI_EP_RDM}) {
    if (!devices.empty() || (type == FI_EP_MSG && !is_used_with_connections(provider))) continue;
    const Info list = query(*hints_for(type, provider.c_str(), false), nullptr, 0);
    for (const fi_info* info = list.get(); info != nullptr; info = info->next) {
      if (provider != info->fabric_attr->prov_name) continue;
      const DeviceInfo found{public_name(provider), info->domain_attr->name,
                             has_ip_address(provider) ? host_of(*info) : std::string()};
      const bool known = std::any_of(devices.begin(), devices.end(), [&](const DeviceInfo& other) {
        return other.interface == found.interface && other.address == found.address;
      });
      if (!known) devices.push_back(found);
    }
  }
  return devices;
}

}  // namespace

std::string library_version() {
  const std::uint32_t version = fi_version();
  return "libfabric " + std::to_string(FI_MAJOR(version)) + "." + std::to_string(FI_MINOR(version));
}

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> all;
  for (const std::string& provider : provider_names()) {
    const std::vector<DeviceInfo> devices = devices_of(provider);
    all.insert(all.end(), devices.begin(), devices.end());
  }
  return all;
}

Info duplicate(const fi_info& info) {
  Info copy(fi_dupinfo(&info));
  if (!copy) throw error_of(FI_ENOMEM, "Cannot copy what libfabric offers");
  return copy;
}

const std::vector<std::string>& provider_names() {
  static const std::vector<std::string> names = find_providers();
  return names;
}

Info choose(const std::string& provider, const std::string& local_address) {
  const auto& names = provider_names();
  if (std::find(names.begin(), names.end(), provider) == names.end()) {
    throw Error(ErrorCode::unknown_provider,
                "libfabric has no usable provider \"" + provider + "\" on this host",
                "fi_info lists those that it has.");
  }
  const bool addressed = has_ip_address(provider) && !local_address.empty();
  const char* node = addressed ? local_address.c_str() : nullptr;
  if (is_used_with_connections(provider)) {
    if (Info info = choose_type(FI_EP_MSG, provider, node)) return info;
  }
  if (Info info = choose_type(FI_EP_RDM, provider, node)) return info;
  throw Error(ErrorCode::unknown_interface,
              "Provider \"" + provider + "\" cannot use the local address " + local_address,
              "Give an address of an interface that it supports (fi_info -p '" + provider +
                  "' lists them).");
}

}  // namespace grainfabric::transport::ofi
