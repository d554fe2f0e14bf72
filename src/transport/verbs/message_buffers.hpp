// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "memory/region.hpp"
#include "transport/verbs/limits.hpp"
#include "transport/verbs/registration.hpp"

namespace grainfabric::transport::verbs {

/// Buffers of kMaxMessage bytes that messages are received into and sent from. In shared memory: a
/// process that forks would find private pages moved away from under the device.
class MessageBuffers {
 public:
  /// Throws Error.
  MessageBuffers(const std::shared_ptr<const Device>& device, std::size_t count)
      : region_(Region::create(count * kMaxMessage, "grainfabric-messages")),
        registration_(device, region_->bytes(), Access::local) {}

  [[nodiscard]] std::span<std::byte> at(std::uint32_t index) const noexcept {
    return region_->bytes().subspan(index * kMaxMessage, kMaxMessage);
  }
  [[nodiscard]] ibv_sge entry(std::uint32_t index, std::size_t size) const noexcept {
    return {reinterpret_cast<std::uint64_t>(at(index).data()), static_cast<std::uint32_t>(size),
            registration_.local_key()};
  }

 private:
  std::shared_ptr<Region> region_;
  VerbsRegistration registration_;
};

}  // namespace grainfabric::transport::verbs
