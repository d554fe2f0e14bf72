// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "memory/region.hpp"
#include "session/grain.hpp"

namespace grainfabric {

/// A contiguous part of a grain's payload. `region` is where it lies, if it is memory of ours or a
/// view of somebody else's (Region::view); without one it is copied where that is needed.
struct PayloadPart {
  std::span<const std::byte> bytes;
  std::shared_ptr<Region> region;
};

/// Called once when the engine no longer needs the memory of a grain. On the loop thread, or on the
/// streaming thread within push().
struct Release {
  void (*call)(void* owner) = nullptr;
  void* owner = nullptr;
  void operator()() const {
    if (call != nullptr) call(owner);
  }
};

/// A grain as it is given to an initiator.
struct OutgoingGrain {
  GrainInfo info;                        ///< sequence and sent_tai are the engine's to set.
  std::span<const std::byte> metadata;   ///< Copied by push(). At most kMaxMetadata.
  std::span<const PayloadPart> payload;  ///< Unchanged until `release`. At most kMaxCapacity.
  Release release;
  /// The payload is announced in at most this many slices (more than kMaxSlices count as that), all
  /// of the same number of `slice_unit` bytes (a line of a picture), and the last perhaps shorter.
  std::size_t slices = 1;
  std::size_t slice_unit = 1;
};

}  // namespace grainfabric
