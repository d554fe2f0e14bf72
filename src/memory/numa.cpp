// SPDX-License-Identifier: Apache-2.0
#include "memory/numa.hpp"

#include <hwloc.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/log.hpp"

namespace grainfabric {
namespace {

bool has_several_nodes() {
  std::string nodes;  // "0", "0-1", "0,2"; nothing where the kernel knows of none
  std::ifstream("/sys/devices/system/node/online") >> nodes;
  return nodes.find_first_of("-,") != std::string::npos;
}

/// Nodes and devices of this host, and nothing else. Never freed: regions may be made in exit
/// handlers.
hwloc_topology_t load_topology() {
  if (!has_several_nodes()) return nullptr;
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) return nullptr;
  hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
  // A device that is nearer to some of the nodes hangs at a group of them.
  hwloc_topology_set_type_filter(topology, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
  hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  if (hwloc_topology_load(topology) != 0) {
    hwloc_topology_destroy(topology);
    return nullptr;
  }
  return topology;
}

hwloc_topology_t shared_topology() {
  static hwloc_topology_t const topology = load_topology();
  return topology;
}

/// The nodes nearest to a device; null for one that is as near to all.
hwloc_const_nodeset_t nodes_near(hwloc_topology_t topology, const std::string& device) {
  hwloc_obj_t found = nullptr;
  while ((found = hwloc_get_next_osdev(topology, found)) != nullptr && device != found->name) {
  }
  if (found == nullptr) return nullptr;
  hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(topology, found);
  return place == hwloc_get_root_obj(topology) ? nullptr : place->nodeset;
}

}  // namespace

void look_for_numa_nodes() {
  shared_topology();
}

void place_near(const std::string& device, std::span<std::byte> memory) {
  hwloc_topology_t topology = device.empty() ? nullptr : shared_topology();
  hwloc_const_nodeset_t nodes = topology == nullptr ? nullptr : nodes_near(topology, device);
  if (nodes == nullptr) return;
  // Without HWLOC_MEMBIND_STRICT another node serves when these are full.
  const int result = hwloc_set_area_membind(topology, memory.data(), memory.size(), nodes,
                                            HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_BYNODESET);
  if (result != 0) {
    log(LogLevel::warning, "memory",
        "Memory for " + device + " is not placed on its NUMA node: " + std::strerror(errno));
  }
}

}  // namespace grainfabric
