// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/token.hpp"
#include "transport/verbs/endpoint.hpp"
#include "transport/verbs/hello.hpp"

namespace grainfabric::transport::verbs {

/// Waits for the one peer with the token, on a port of its own, and grants it one queue pair after
/// the other until there are as many as it asked for.
class Acceptor final : public VerbsEndpoint {
 public:
  /// Throws Error.
  Acceptor(std::shared_ptr<Device> device, const Token& token, EndpointEvents& user);

 private:
  void on_connection_event(ConnectionEvent& event) override;
  void on_request(ConnectionEvent& event);
  /// Null, or why a request is turned away.
  [[nodiscard]] const char* refusal(const std::optional<IpAddress>& from,
                                    const std::optional<HelloRequest>& hello);
  void accept(ConnectionId id, const IpAddress& peer, const HelloReply& asked);

  Token token_;
  ConnectionId listener_;  // stays: who comes later is turned away in words
  std::optional<IpAddress> peer_;
};

}  // namespace grainfabric::transport::verbs
