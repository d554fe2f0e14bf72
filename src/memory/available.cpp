// SPDX-License-Identifier: Apache-2.0
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

/// The tightest limit of the process's control group (v2) and its ancestors, less what is in use.
std::optional<std::size_t> left_in_control_group() {
  std::ifstream file("/proc/self/cgroup");
  std::string group;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) group = line.substr(3);
  }
  std::optional<std::size_t> least;
  while (!group.empty()) {
    const std::string folder = "/sys/fs/cgroup" + (group == "/" ? std::string() : group);
    const auto limit = number_in(folder + "/memory.max");
    const auto used = number_in(folder + "/memory.current");
    if (limit && used) {
      least = std::min(least.value_or(SIZE_MAX), *limit - std::min(*limit, *used));
    }
    group.resize(group == "/" ? 0 : std::max<std::size_t>(group.rfind('/'), 0));
  }
  return least;
}

}  // namespace

std::size_t available_memory() {
  return std::min(mem_available().value_or(SIZE_MAX), left_in_control_group().value_or(SIZE_MAX));
}

}  // namespace grainfabric
