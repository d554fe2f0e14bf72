// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fi_endpoint.h>

namespace grainfabric::transport::ofi {

/// Takes the pacing from a connected endpoint over TCP whose two ends have the same IP address,
/// or one of loopback: there is no network between them that a congestion control could be fair on,
/// and BBR, which sends by a timer for each 64 KB, needs a third more CPU for it
/// (tests/bench/RESULTS.md). libfabric has no option for it and does not tell its socket; it is
/// known by its two addresses. Does nothing for others, and if it cannot be done the host's own
/// congestion control stays. The endpoint's thread.
void unpace_within_host(fid_ep* endpoint) noexcept;

}  // namespace grainfabric::transport::ofi
