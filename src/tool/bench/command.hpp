// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace grainfabric::tool {

/// `grainfabric bench server|client …`: what follows "bench". Returns the exit code; throws
/// UsageError and Error.
int bench(std::vector<std::string> arguments);

}  // namespace grainfabric::tool
