// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace grainfabric {

/// What the tightest limit of a control group (v2) and those above it leaves, in bytes; what the
/// kernel can take back counts as free. `root`: where they are mounted; `group`: its path below,
/// which begins with a slash or is empty. SIZE_MAX without any limit.
std::size_t left_in_control_group(const std::string& root, std::string group);

}  // namespace grainfabric
