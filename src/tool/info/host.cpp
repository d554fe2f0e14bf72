// SPDX-License-Identifier: Apache-2.0
#include "tool/info/host.hpp"

#include <glib.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "memory/region.hpp"
#include "transport/interface.hpp"

namespace grainfabric::tool {
namespace {

namespace fs = std::filesystem;

/// The first line of a file of /sys; empty where there is none.
std::string line_of(const fs::path& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

/// What is in a folder, by name; nothing where there is none.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code absent;
  const fs::directory_iterator list(folder, absent);
  std::vector<fs::path> entries(begin(list), end(list));
  std::sort(entries.begin(), entries.end());
  return entries;
}

std::vector<Interface> interfaces() {
  const auto addresses = transport::local_addresses();
  std::vector<Interface> all;
  for (const fs::path& folder : entries_of("/sys/class/net")) {
    if (!fs::exists(folder / "mtu")) continue;  // bonding_masters, a file
    Interface found{folder.filename(), line_of(folder / "operstate"),
                    g_ascii_strtoull(line_of(folder / "mtu").c_str(), nullptr, 10)};
    for (const auto& address : addresses) {
      if (address.interface == found.name) found.addresses.push_back(address.text);
    }
    all.push_back(std::move(found));
  }
  return all;
}

std::vector<RdmaPort> rdma_ports() {
  std::vector<RdmaPort> all;
  for (const fs::path& device : entries_of("/sys/class/infiniband")) {
    for (const fs::path& port : entries_of(device / "ports")) {
      all.push_back({device.filename(), port.filename(), line_of(port / "state"),
                     line_of(port / "link_layer"), line_of(port / "gid_attrs" / "ndevs" / "0")});
    }
  }
  return all;
}

}  // namespace

Host look_at_host() {
  Host host;
  utsname names{};
  if (::uname(&names) == 0) {
    host.name = names.nodename;
    host.kernel = std::string(names.sysname) + " " + names.release;
    host.machine = names.machine;
  }
  host.glib = std::to_string(glib_major_version) + "." + std::to_string(glib_minor_version) + "." +
              std::to_string(glib_micro_version);
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    host.locked_memory_limit = limit.rlim_cur;
  }
  host.available_memory = available_memory();
  host.interfaces = interfaces();
  host.rdma_ports = rdma_ports();
  return host;
}

}  // namespace grainfabric::tool
