// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "transport/transport.hpp"
#include "transport/verbs/device.hpp"

namespace grainfabric::transport::verbs {

/// Memory registered with a Device: pinned until the end of this. Peers address it as this process
/// does, and its key is chosen by the device.
class VerbsRegistration final : public Registration {
 public:
  /// Throws Error; locked_memory_limit where RLIMIT_MEMLOCK is why.
  VerbsRegistration(std::shared_ptr<const Device> device, std::span<std::byte> memory,
                    Access access);

  [[nodiscard]] RemoteMemory remote() const noexcept override { return remote_; }
  [[nodiscard]] std::uint32_t local_key() const noexcept { return region_->lkey; }

 private:
  std::shared_ptr<const Device> device_;
  MemoryRegion region_;
  RemoteMemory remote_;
};

}  // namespace grainfabric::transport::verbs
