// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <fstream>
#include <string>

namespace grainfabric::test {

/// KiB of the mappings of this name in this process that are mapped as huge pages ("smaps" of
/// proc(5)).
inline std::size_t in_huge_pages(const std::string& name) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  std::size_t all = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) inside = line.find(name) != std::string::npos;
    if (inside && line.starts_with("ShmemPmdMapped:")) {
      all += std::stoul(line.substr(line.find_first_of("0123456789")));
    }
  }
  return all;
}

}  // namespace grainfabric::test
