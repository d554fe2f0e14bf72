// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace grainfabric {

/// How a rail cuts transfers and how much it keeps in flight. Sizes in bytes.
struct RailOptions {
  /// Longest single write; 0: as the transport likes it best, see transport::Capabilities.
  std::size_t piece_size = 0;
  /// Most bytes posted and not completed, but for two writes, which may be longer. Enough to hide
  /// the round trip; more only queues.
  std::size_t window = std::size_t{4} << 20U;
};

}  // namespace grainfabric
