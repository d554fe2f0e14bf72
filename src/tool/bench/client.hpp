// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "tool/bench/conversation.hpp"

namespace grainfabric::tool {

struct ClientOptions {
  std::string host;
  std::uint16_t port = protocol::kDefaultPort;
  ConversationOptions conversation;
  std::string cpus;  ///< See EventLoop.
  bool json = false;
  bool quiet = false;
};

/// `grainfabric bench client`. Throws Error.
int run_client(const ClientOptions& options);

}  // namespace grainfabric::tool
