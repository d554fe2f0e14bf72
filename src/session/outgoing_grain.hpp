// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "memory/region.hpp"
#include "session/grain.hpp"

namespace grainfabric {

/// A contiguous part of a grain's payload. `region` is where it lies, if it is memory of ours.
struct PayloadPart {
  std::span<const std::byte> bytes;
  std::shared_ptr<Region> region;
};

/// Called once when the engine no longer needs the memory of a grain. On the loop thread.
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
};

}  // namespace grainfabric
