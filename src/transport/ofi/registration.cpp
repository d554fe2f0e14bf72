// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/registration.hpp"

#include <rdma/fi_domain.h>
#include <sys/resource.h>

#include "base/token.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/limits.hpp"

namespace grainfabric::transport::ofi {
namespace {

std::uint64_t random_key(std::size_t size) {
  const std::uint64_t key = random_u64();
  return size >= sizeof key ? key : key & ((std::uint64_t{1} << (8 * size)) - 1);
}

Fid<fid_mr> register_with(const Device& device, std::span<std::byte> memory, std::uint64_t access) {
  const bool chooses_key = !device.has_mr_mode(FI_MR_PROV_KEY);
  int result = 0;
  for (int attempt = 0; attempt < kKeyAttempts; ++attempt) {
    // A key that nobody can guess is what keeps strangers on the network out of this memory.
    const std::uint64_t key = chooses_key ? random_key(device.info().domain_attr->mr_key_size) : 0;
    fid_mr* region = nullptr;
    result = fi_mr_reg(device.domain(), memory.data(), memory.size(), access, 0, key, 0, &region,
                       nullptr);
    if (result == 0) return Fid(region);
    if (!chooses_key || result != -FI_ENOKEY) break;
  }
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  throw registration_error(-result, memory.size(), limit.rlim_cur, device.name());
}

}  // namespace

OfiRegistration::OfiRegistration(std::shared_ptr<const Device> device, std::span<std::byte> memory,
                                 Access access)
    : device_(std::move(device)) {
  if (memory.empty()) {
    throw Error(ErrorCode::invalid_argument, "Cannot register no memory with " + device_->name());
  }
  if (access == Access::local && !device_->has_mr_mode(FI_MR_LOCAL)) return;
  std::uint64_t rights = FI_SEND | FI_RECV | FI_READ | FI_WRITE;
  if (access == Access::remote) rights |= FI_REMOTE_READ | FI_REMOTE_WRITE;
  region_ = register_with(*device_, memory, rights);
  descriptor_ = fi_mr_desc(region_.get());
  remote_.address =
      device_->has_mr_mode(FI_MR_VIRT_ADDR) ? reinterpret_cast<std::uint64_t>(memory.data()) : 0;
  remote_.length = memory.size();
  remote_.key = fi_mr_key(region_.get());
}

}  // namespace grainfabric::transport::ofi
