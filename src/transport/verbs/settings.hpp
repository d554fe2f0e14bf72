// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "transport/options.hpp"

namespace grainfabric::transport::verbs {

/// The options of provider "verbs" (the table in src/README.md says what they are for). Names and
/// defaults follow Mooncake's MC_… variables where one corresponds; what is unset there or differs
/// here has its reason beside it. A device may allow less: see Device.
struct Settings {
  std::string device;  ///< "mlx5_0", "rxe0"; empty: the one that has the local address.
  int port = 0;        ///< 0: the one that has the local address.
  /// Unset: that of the local address, which is the only one whose packets are sure to come back.
  std::optional<int> gid_index;
  int mtu = 4096;
  /// Of one connection. One (there: 2), since a single queue pair keeps order, and then only the
  /// last piece of a grain needs an immediate.
  int queue_pairs = 1;
  /// Completion queues that the queue pairs of a connection share, at most one each. A Domain has a
  /// device context of its own and in practice one connection, so this is per device, as there.
  int cqs_per_device = 1;
  int max_cqe = 4096;  ///< Of each of those queues.
  int max_wr = 256;
  int max_sge = 4;
  int inline_size = 64;
  /// Longest work request in bytes, 0: what the device takes. Rail has cut before.
  std::uint32_t slice_size = 0;
  int retry_count = 7;
  /// 4.096 us * 2^this for an acknowledgement, before one of the retries: 0.27 s, so that a dead
  /// link is noticed in some 2 s. RoCE's own default (19, 17 s in all) is beyond every heartbeat.
  int ack_timeout = 16;
  /// Code of the InfiniBand specification for what a peer waits who found no receive here: 22 is
  /// 20 ms. With rnr_retry the loop thread may be away for 0.14 s with all receives used up.
  int rnr_timer = 22;
  int rnr_retry = 6;  ///< 7 would be for ever.
  std::optional<int> traffic_class;

  /// Throws Error(invalid_argument).
  static Settings parse(const Options& options);
};

}  // namespace grainfabric::transport::verbs
