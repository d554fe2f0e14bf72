// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "transport/verbs/connections.hpp"
#include "transport/verbs/deadline.hpp"
#include "transport/verbs/device.hpp"

namespace grainfabric::transport::verbs {

/// An event of the connection manager, taken out of its queue: what outlives the acknowledgement.
struct ConnectionEvent {
  rdma_cm_event_type type = RDMA_CM_EVENT_CONNECT_ERROR;
  rdma_cm_id* id = nullptr;
  int status = 0;
  std::vector<std::byte> data;
};

/// What both ends have in common: one life from connecting to closed, posts handed to its
/// connections, their events to the user. One thread.
///
/// A failure is only noted where it is found, since that may be deep inside a drain or one of the
/// user's own posts; progress() closes at its end and says so once.
class VerbsEndpoint : public Endpoint, private ChannelEvents, private DeviceEvents {
 public:
  ~VerbsEndpoint() override;
  VerbsEndpoint(const VerbsEndpoint&) = delete;
  VerbsEndpoint& operator=(const VerbsEndpoint&) = delete;

  [[nodiscard]] const Address& address() const noexcept override { return address_; }
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context) override;
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::uint32_t immediate) override;
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context) override;
  Posted send(std::span<const std::byte> message, std::uint64_t context) override;

  void append_fds(std::vector<int>* fds) const override;
  bool arm() override;
  bool progress() override;

 protected:
  VerbsEndpoint(std::shared_ptr<Device> device, EndpointEvents& user);

  /// An event of this endpoint's connection manager. May throw Error, which fails the endpoint.
  virtual void on_connection_event(ConnectionEvent& event) = 0;

  /// Makes a connection id on this endpoint's event channel. Throws Error.
  ConnectionId make_id();
  /// Takes over `id` as the next of the connections, and makes the queue pair for it. Throws Error.
  Connection& open_connection(ConnectionId id, const IpAddress& peer);
  /// What rdma_connect() and rdma_accept() are told; `hello` outlives the call.
  [[nodiscard]] rdma_conn_param parameters(const Channel& channel,
                                           std::span<const std::byte> hello) const;
  /// Closed with timed_out unless established within kConnectTimeout from now.
  void start_deadline() { deadline_.set(kConnectTimeout); }
  void established();
  /// The first reason counts.
  void fail(const Error& reason);
  /// Handles the events that mean the same to both ends. Returns whether it was one.
  bool serve_common(const ConnectionEvent& event);

  [[nodiscard]] Connections& connections() noexcept { return connections_; }
  [[nodiscard]] Device& device() const noexcept { return *device_; }
  [[nodiscard]] const std::string& peer_name() const noexcept { return peer_name_; }
  void set_peer(const IpAddress& peer) { peer_name_ = peer.text() + " (" + device_->name() + ")"; }
  void set_address(Address address) { address_ = std::move(address); }

 private:
  enum class State { connecting, connected, closed };

  void channel_completed(std::uint64_t user) override { user_.on_completed(user); }
  void channel_immediate(std::uint32_t immediate) override { user_.on_immediate(immediate); }
  void channel_message(std::span<const std::byte> message) override { user_.on_message(message); }
  void channel_failed(const Error& reason) override { fail(reason); }
  void on_device_event(const ibv_async_event& event) override;
  /// `post` of what takes posts, or why that does not now.
  template <typename Post>
  Posted post(const Post& post);
  bool drive();
  bool serve_control();
  std::optional<ConnectionEvent> next_event();
  void finish();

  std::shared_ptr<Device> device_;
  EndpointEvents& user_;
  State state_ = State::connecting;
  Address address_;
  std::string peer_name_ = "its peer";
  std::optional<Error> failure_;
  Deadline deadline_;
  bool in_progress_ = false;
  bool look_at_control_ = true;  // sleeping has been thought of since the last look
  unsigned spins_ = 0;
  EventChannel events_;
  Connections connections_;
};

}  // namespace grainfabric::transport::verbs
