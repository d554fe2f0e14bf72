// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace grainfabric::test {

/// What was built with the running program, by its path from there. Not compiled in: the same
/// objects then do for every build directory (ccache).
inline std::string built(const std::string& path) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / path;
}

}  // namespace grainfabric::test
