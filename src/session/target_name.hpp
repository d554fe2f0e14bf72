// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "session/initiator.hpp"

namespace grainfabric {

/// "host:port" or "[address]:port": the target as an initiator's user named it.
inline std::string target_name(const InitiatorOptions& options) {
  const bool v6 = options.host.find(':') != std::string::npos;
  return (v6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(options.port);
}

}  // namespace grainfabric
