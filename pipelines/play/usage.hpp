// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace play {

/// CPU time so far, in seconds.
struct Usage {
  double process = 0;  ///< All threads, user and system.
  double engine = 0;   ///< The thread of libgrainfabric that moves the grains.
};
Usage usage_now();

/// CPU time of the calling thread, in seconds.
double thread_cpu_seconds();

}  // namespace play
