// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

namespace grainfabric {

/// Looks at the host's NUMA nodes if there is more than one, once: that takes some ten
/// milliseconds, which others should not meet later. Any thread.
void look_for_numa_nodes();

/// Has the pages of `memory` that are not there yet come from the NUMA node that is nearest to
/// `device`, a network interface or an RDMA device ("eth0", "mlx5_0"), as long as that has any.
/// Does nothing on a host with one node, and for a device without a place of its own (lo, a bond).
/// Any thread.
void place_near(const std::string& device, std::span<std::byte> memory);

}  // namespace grainfabric
