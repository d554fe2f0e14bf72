// SPDX-License-Identifier: Apache-2.0
// A transport module that loads and has nothing to offer.
namespace grainfabric::transport {
class Transport;
}

extern "C" __attribute__((visibility("default"))) grainfabric::transport::Transport*
grainfabric_transport_1() {
  return nullptr;
}
