// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/token.hpp"
#include "transport/verbs/endpoint.hpp"

namespace grainfabric::transport::verbs {

/// Waits for the one peer with the token, on a port of its own.
class Acceptor final : public VerbsEndpoint {
 public:
  /// Throws Error.
  Acceptor(std::shared_ptr<Device> device, const Token& token, EndpointEvents& user);

 private:
  void on_connection_event(ConnectionEvent& event) override;
  void on_request(ConnectionEvent& event);
  void accept(ConnectionId id, const IpAddress& peer, ibv_mtu offered);

  Token token_;
  ConnectionId listener_;  // stays: who comes later is turned away in words
};

}  // namespace grainfabric::transport::verbs
