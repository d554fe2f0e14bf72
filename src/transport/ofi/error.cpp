// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/error.hpp"

#include <rdma/fi_errno.h>
#include <sys/resource.h>

namespace grainfabric::transport::ofi {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case FI_ECANCELED:  // how tcp and rxm flush what was in flight when a connection breaks
    case FI_ECONNABORTED:
      return ErrorCode::disconnected;
    case FI_ETRUNC:
    case FI_ETOOSMALL:
      return ErrorCode::protocol;
    case FI_ENODATA:  // fi_getinfo: nothing matches
      return ErrorCode::unsupported;
    default:
      return error_number < FI_EOTHER ? Error::from_errno(error_number, {}).code() : ErrorCode::io;
  }
}

}  // namespace

Error error_of(int error_number, const std::string& what_failed, const std::string& what_to_try,
               const std::string& detail) {
  std::string failure = what_failed + ": " + fi_strerror(error_number);
  if (!detail.empty()) failure += " (" + detail + ")";
  return {code_of(error_number), failure, what_to_try};
}

ssize_t check(ssize_t result, const std::string& what_failed, const std::string& what_to_try) {
  if (result < 0) throw error_of(static_cast<int>(-result), what_failed, what_to_try);
  return result;
}

Error registration_error(int error_number, std::size_t bytes, unsigned long limit,
                         const std::string& device) {
  const std::string failure = "Cannot register " + std::to_string(bytes) + " bytes with " + device;
  const bool may_be_limit = error_number == FI_ENOMEM || error_number == FI_EAGAIN;
  if (may_be_limit && limit != RLIM_INFINITY) {
    return {ErrorCode::locked_memory_limit,
            failure + ": this process may lock only " + std::to_string(limit / 1024) + " KiB",
            "Raise the limit (ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit, "
            "--ulimit memlock=-1 for a container) or use fewer slots."};
  }
  return error_of(error_number, failure);
}

}  // namespace grainfabric::transport::ofi
