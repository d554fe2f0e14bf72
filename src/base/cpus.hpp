// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace grainfabric {

/// Lets the calling thread run on these CPUs only: "2", "0-3,8" (as `taskset -c` has them); "": on
/// those that it has. Throws Error(invalid_argument) for what is no such list, and where this
/// process may use none of them.
void run_this_thread_on(const std::string& cpus);

}  // namespace grainfabric
