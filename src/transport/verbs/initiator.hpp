// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/token.hpp"
#include "transport/verbs/endpoint.hpp"

namespace grainfabric::transport::verbs {

/// Connects to an Acceptor: resolves address and route, requests, and confirms the answer; then the
/// same for the next of its queue pairs.
class Initiator final : public VerbsEndpoint {
 public:
  /// Throws Error for an address that cannot be.
  Initiator(std::shared_ptr<Device> device, const Address& peer, const Token& token,
            EndpointEvents& user);

 private:
  void on_connection_event(ConnectionEvent& event) override;
  void resolve();
  void request();
  void confirm(const ConnectionEvent& event);
  [[nodiscard]] Error failure_of(const ConnectionEvent& event);

  Token token_;
  IpAddress peer_;
  ConnectionId resolving_;  // until the route is known
};

}  // namespace grainfabric::transport::verbs
