// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/registration.hpp"

#include <sys/resource.h>

#include <cerrno>

#include "transport/verbs/error.hpp"

namespace grainfabric::transport::verbs {

VerbsRegistration::VerbsRegistration(std::shared_ptr<const Device> device,
                                     std::span<std::byte> memory, Access access)
    : device_(std::move(device)) {
  if (memory.empty()) {
    throw Error(ErrorCode::invalid_argument, "Cannot register no memory with " + device_->name());
  }
  int rights = IBV_ACCESS_LOCAL_WRITE;
  if (access == Access::remote) rights |= IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
  region_.reset(ibv_reg_mr(device_->domain(), memory.data(), memory.size(), rights));
  if (!region_) {
    const int error_number = errno;
    rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
    ::getrlimit(RLIMIT_MEMLOCK, &limit);
    throw registration_error(error_number, memory.size(), limit.rlim_cur, device_->name());
  }
  remote_ = {reinterpret_cast<std::uint64_t>(memory.data()), memory.size(), region_->rkey};
}

}  // namespace grainfabric::transport::verbs
