// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace grainfabric {

/// How a rail cuts transfers and how much it keeps in flight. Sizes in bytes.
struct RailOptions {
  /// Longest single write. Pieces near the size of a core's cache keep the bytes hot between the
  /// copies of a software transport; src/README.md has the measurements.
  std::size_t piece_size = std::size_t{512} << 10U;
  /// Most bytes posted and not completed. Enough to hide the round trip; more only queues.
  std::size_t window = std::size_t{4} << 20U;
};

}  // namespace grainfabric
