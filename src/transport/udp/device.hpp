// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "transport/udp/address.hpp"
#include "transport/udp/intake.hpp"
#include "transport/udp/send_batch.hpp"

namespace grainfabric::transport::udp {

inline constexpr const char* kProvider = "udp";

/// What the endpoints of one Domain share: its address, its memory, and the buffers for one call,
/// which need not be an endpoint's own since one thread drives them all.
struct Device {
  explicit Device(const DomainOptions& options);

  SocketAddress local;
  Capabilities capabilities;
  std::shared_ptr<Registry> registry = std::make_shared<Registry>();
  SendBatch batch;
  Intake intake;
};

}  // namespace grainfabric::transport::udp
