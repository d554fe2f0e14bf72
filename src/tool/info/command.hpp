// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace grainfabric::tool {

/// `grainfabric info …`: what follows "info". Returns the exit code; throws UsageError and Error.
int info(std::vector<std::string> arguments);

}  // namespace grainfabric::tool
