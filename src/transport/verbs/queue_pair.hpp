// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "transport/verbs/device.hpp"

/// Making a reliable connection's queue pair and taking it through its states. This is done here
/// and not by rdma_create_qp() because the device's context is the domain's own, and because the
/// attributes of [verbs] (MTU, timers, retries, GID) go in on the way. Loop thread.
namespace grainfabric::transport::verbs {

/// Makes one on `queue` with `sizes`. Where the driver takes less than it promised, first what goes
/// inline and then the depth is halved, in `sizes` too, with a line in the log. Throws Error.
QueuePair make_queue_pair(const Device& device, ibv_cq* queue, QueueSizes* sizes);

/// Takes receives from then on.
void make_ready_for_receives(const Device& device, rdma_cm_id& id, ibv_qp& pair);

/// The largest MTU that the path of `id` has: on the side that was asked; not more than `mtu`.
ibv_mtu path_mtu(rdma_cm_id& id, ibv_mtu mtu);

/// Receives and sends from then on, in packets of `mtu`, which both sides must agree on.
void make_ready_to_send(const Device& device, rdma_cm_id& id, ibv_qp& pair, ibv_mtu mtu);

}  // namespace grainfabric::transport::verbs
