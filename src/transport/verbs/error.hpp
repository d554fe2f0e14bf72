// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <infiniband/verbs.h>

#include <cstddef>
#include <string>

#include "base/error.hpp"

/// Where error numbers and completion states of rdma-core become Errors. Any thread.
namespace grainfabric::transport::verbs {

/// Throws Error for a call of librdmacm that returned -1 with errno.
void check(int result, const std::string& what_failed, const std::string& what_to_try = {});
/// Throws Error for a call of libibverbs that returned an error number, 0 being success.
void check_number(int error_number, const std::string& what_failed,
                  const std::string& what_to_try = {});

/// Why a device or the connection manager could not be opened: a missing kernel module, missing
/// rights on /dev/infiniband, and anything else.
Error opening_error(int error_number, const std::string& what);

/// Why memory could not be registered: with a limit on locked memory that may be it, says so and
/// what to change. `limit` in bytes, or RLIM_INFINITY.
Error registration_error(int error_number, std::size_t bytes, unsigned long limit,
                         const std::string& device);

/// What a failed completion means for the connection with `peer`.
Error completion_error(ibv_wc_status status, const std::string& peer);

}  // namespace grainfabric::transport::verbs
