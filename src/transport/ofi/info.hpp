// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/transport.hpp"

/// fi_getinfo: which providers there are and what they offer. Any thread.
namespace grainfabric::transport::ofi {

struct FreeInfo {
  void operator()(fi_info* info) const noexcept { fi_freeinfo(info); }
};
using Info = std::unique_ptr<fi_info, FreeInfo>;

/// A deep copy, without its successors in the list. Throws Error (no_memory).
Info duplicate(const fi_info& info);

/// libfabric's names of all providers with what Domain needs, RDMA first, then by name. Asked of
/// libfabric once a process: verbs devices are enumerated once anyway, one plugged in later needs a
/// restart.
const std::vector<std::string>& provider_names();

/// Everything that choose() could be asked for, in the order of provider_names().
std::vector<DeviceInfo> list_devices();

/// "libfabric 1.17".
std::string library_version();

/// The offer of `provider` to open, on the interface that holds `local_address` (numeric, may be
/// empty). Throws Error: unknown_provider, unknown_interface.
Info choose(const std::string& provider, const std::string& local_address);

}  // namespace grainfabric::transport::ofi
