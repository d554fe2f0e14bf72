// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "memory/region.hpp"
#include "session/grain.hpp"

namespace grainfabric {

/// How much of a grain has landed in its slot at the target. The spans lie where the grain's own
/// will, and are there for as long as `memory` is held; the initiator may still change them until
/// the grain is whole.
struct SliceProgress {
  GrainInfo info;
  std::uint32_t valid = 1;  ///< Slices that are there, from the front.
  std::uint32_t total = 1;
  std::size_t slice_size = 0;          ///< Bytes; the last slice may be shorter. 0: a whole grain.
  std::size_t payload_size = 0;        ///< Of the whole grain.
  std::span<const std::byte> payload;  ///< What is valid of it.
  /// Empty until the grain is whole where they are longer than the header space.
  std::span<const std::byte> metadata;
  std::shared_ptr<Region> memory;
};

}  // namespace grainfabric
