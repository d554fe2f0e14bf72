// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "transport/ofi/device.hpp"
#include "transport/ofi/fid.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport::ofi {

/// Memory registered with a Device.
class OfiRegistration final : public Registration {
 public:
  /// Throws Error; locked_memory_limit where RLIMIT_MEMLOCK is why.
  OfiRegistration(std::shared_ptr<const Device> device, std::span<std::byte> memory, Access access);

  [[nodiscard]] RemoteMemory remote() const noexcept override { return remote_; }
  /// What libfabric wants beside each local buffer; null where it wants none.
  [[nodiscard]] void* descriptor() const noexcept { return descriptor_; }

 private:
  std::shared_ptr<const Device> device_;
  Fid<fid_mr> region_;  // none for local memory of a provider that needs no registration
  RemoteMemory remote_;
  void* descriptor_ = nullptr;
};

}  // namespace grainfabric::transport::ofi
