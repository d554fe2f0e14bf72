// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <cstddef>
#include <string>

#include "base/error.hpp"

/// Where libfabric's return codes become Errors. Any thread.
namespace grainfabric::transport::ofi {

/// The Error of a libfabric error number (positive: errno or FI_E…), "<what_failed>:
/// <fi_strerror>". `detail` is what the provider itself said about it, may be empty.
Error error_of(int error_number, const std::string& what_failed,
               const std::string& what_to_try = {}, const std::string& detail = {});

/// Every control-path call goes through here: throws error_of() for a negative return, hands a good
/// one back.
ssize_t check(ssize_t result, const std::string& what_failed, const std::string& what_to_try = {});

/// Why memory could not be registered: a failed registration that looks like RLIMIT_MEMLOCK says so
/// and what to change. `limit` is the limit in bytes, or RLIM_INFINITY.
Error registration_error(int error_number, std::size_t bytes, unsigned long limit,
                         const std::string& device);

}  // namespace grainfabric::transport::ofi
