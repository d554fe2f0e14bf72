// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace play {

/// Compares what both sides wrote into `directory` and prints it as a table. True if everything
/// that was sent arrived, once, in order and unchanged. Throws std::runtime_error.
bool report(const std::string& directory);

}  // namespace play
