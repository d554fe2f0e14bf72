// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "base/token.hpp"
#include "transport/ofi/endpoint.hpp"
#include "transport/ofi/queues.hpp"

/// Endpoints over providers with connections (FI_EP_MSG: tcp, verbs). The token is the private data
/// of the connection request.
namespace grainfabric::transport::ofi {

/// What both ends have: a channel and the queue of its connection events.
class ConnectedEndpoint : public OfiEndpoint {
 protected:
  ConnectedEndpoint(std::shared_ptr<const Device> device, EndpointEvents& user);

  bool drive() final;
  void close() noexcept override { channel_.reset(); }
  [[nodiscard]] Channel* channel() const noexcept final { return channel_.get(); }
  void add_waitables(std::vector<int>* fds, std::vector<fid_t>* objects) const final;
  Posted send_message(Channel& channel, std::span<const std::byte> message,
                      std::uint64_t context) final;
  void channel_message(std::span<const std::byte> message) final { deliver(message); }

  virtual void on_request(ConnectionEvent& event) = 0;
  /// What a connection event of kind failed means to this end.
  virtual Error failure_of(const ConnectionEvent& event) const = 0;

  void open_channel(fi_info& info);
  [[nodiscard]] EventQueue& events() noexcept { return events_; }

 private:
  void serve(ConnectionEvent& event);

  EventQueue events_;
  std::unique_ptr<Channel> channel_;  // uses the queue until its end
};

/// Waits for the one peer with the token.
class ConnectionAcceptor final : public ConnectedEndpoint {
 public:
  /// Throws Error: address_in_use, invalid_argument for a wildcard address, …
  ConnectionAcceptor(std::shared_ptr<const Device> device, const Token& token,
                     EndpointEvents& user);
  ~ConnectionAcceptor() override { close(); }

 private:
  void close() noexcept override;
  /// Those who asked and were not heard yet, who wait for an answer, and those who connected and
  /// said nothing: libfabric's tcp forgets them, with a descriptor and memory each, when its
  /// listener goes.
  void turn_away_pending() noexcept;
  void reject_pending();
  void on_request(ConnectionEvent& event) override;
  [[nodiscard]] Error failure_of(const ConnectionEvent& event) const override;

  Token token_;
  // Open as long as the endpoint is: a request that is queued already can then still be rejected.
  Fid<fid_pep> listener_;
};

/// Connects to a ConnectionAcceptor.
class ConnectionInitiator final : public ConnectedEndpoint {
 public:
  /// Throws Error for an address that cannot be.
  ConnectionInitiator(std::shared_ptr<const Device> device, const Address& peer, const Token& token,
                      EndpointEvents& user);

 private:
  void on_request(ConnectionEvent& /*event*/) override {}  // nobody listens here
  [[nodiscard]] Error failure_of(const ConnectionEvent& event) const override;
};

}  // namespace grainfabric::transport::ofi
