// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "transport/ofi/registration.hpp"

namespace grainfabric::transport::ofi {

/// Buffers of equal size that messages are sent from and received into: one allocation, registered
/// where the provider wants that. One thread.
class MessageBuffers {
 public:
  /// Throws Error.
  MessageBuffers(const std::shared_ptr<const Device>& device, std::size_t count, std::size_t size)
      : size_(size), memory_(count * size), registration_(device, memory_, Access::local) {}

  [[nodiscard]] std::span<std::byte> at(std::uint32_t index) noexcept {
    return std::span(memory_).subspan(index * size_, size_);
  }
  [[nodiscard]] void* descriptor() const noexcept { return registration_.descriptor(); }

 private:
  std::size_t size_;
  std::vector<std::byte> memory_;
  OfiRegistration registration_;
};

}  // namespace grainfabric::transport::ofi
