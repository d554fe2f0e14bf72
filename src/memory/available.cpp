// SPDX-License-Identifier: Apache-2.0
#include "memory/available.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "memory/region.hpp"

namespace grainfabric {
namespace {

std::optional<std::size_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::size_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // absent, or "max"
}

std::optional<std::size_t> mem_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::size_t kibibytes = 0;
    if (fields >> name >> kibibytes && name == "MemAvailable:") return kibibytes * 1024;
  }
  return std::nullopt;
}

/// What the kernel takes back before it refuses memory: the cache of files with a name (shared
/// memory is none of it), and its own.
std::size_t reclaimable_in(const std::string& folder) {
  std::ifstream file(folder + "/memory.stat");
  std::size_t sum = 0;
  std::string name;
  for (std::size_t value = 0; file >> name >> value;) {
    if (name == "inactive_file" || name == "active_file" || name == "slab_reclaimable") {
      sum += value;
    }
  }
  return sum;
}

/// Of this process (v2), as it lies below the root; empty where there is none.
std::string control_group() {
  std::ifstream file("/proc/self/cgroup");
  std::string group;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) group = line.substr(3);
  }
  return group;
}

}  // namespace

std::size_t left_in_control_group(const std::string& root, std::string group) {
  std::size_t least = SIZE_MAX;
  for (bool is_root = false; !is_root;) {
    // The root itself comes last: of a container's own namespace it has the container's limit.
    while (group.ends_with('/')) group.pop_back();
    is_root = group.empty();
    const std::string folder = root + group;
    const auto limit = number_in(folder + "/memory.max");
    const auto current = number_in(folder + "/memory.current");
    if (limit && current) {
      const std::size_t used = *current - std::min(*current, reclaimable_in(folder));
      least = std::min(least, *limit - std::min(*limit, used));
    }
    group.resize(is_root ? 0 : group.rfind('/'));
  }
  return least;
}

std::size_t available_memory() {
  return std::min(mem_available().value_or(SIZE_MAX),
                  left_in_control_group("/sys/fs/cgroup", control_group()));
}

}  // namespace grainfabric
