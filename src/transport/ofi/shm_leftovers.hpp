// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "transport/transport.hpp"

namespace grainfabric::transport::ofi {

/// Removes what peers that were killed left in /dev/shm: libfabric's shm provider keeps 16 MiB for
/// every endpoint in a file PID:…, and a process that dies by SIGKILL cannot remove it. Its peer
/// here is the one who knows both the name and, sharing its process ids with it (the provider
/// copies by process_vm_readv), that it is dead. Any thread.
class ShmLeftovers {
 public:
  static ShmLeftovers& shared();

  /// Endpoints here are done with `peer`: if it dies, or is dead, its file goes.
  void watch(const Address& peer);
  /// Removes the files of those that have died since. Cheap when there are none.
  void sweep();

 private:
  std::mutex mutex_;
  std::vector<std::string> names_;  // below /dev/shm
};

}  // namespace grainfabric::transport::ofi
