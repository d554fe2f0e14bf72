// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace grainfabric {

/// Something that belongs between grains, opaque to the engine: an event of a GStreamer stream.
struct StreamEvent {
  /// What it is; for sticky events also the key under which the newest one is kept.
  std::string name;
  /// Kept by the initiator and sent again, in the order of first appearance, to a peer that comes
  /// later or again.
  bool sticky = false;
  /// At most kMaxEventBody bytes.
  std::vector<std::byte> body;
};
inline constexpr std::size_t kMaxEventBody = std::size_t{8} << 20U;

}  // namespace grainfabric
