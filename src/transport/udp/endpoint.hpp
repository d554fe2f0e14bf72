// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "transport/udp/connection.hpp"
#include "transport/udp/device.hpp"
#include "transport/udp/handshake.hpp"
#include "transport/udp/socket.hpp"
#include "transport/wake_up.hpp"

namespace grainfabric::transport::udp {

/// One end of a connection: a socket, a wake-up, the handshake and then the Connection. One thread.
///
/// A failure is only noted where it is found, which may be in the middle of a batch or in one of
/// the user's own posts; progress() closes at its end and says so once.
class UdpEndpoint final : public Endpoint, private Connection::Events {
 public:
  /// Accepts the peer with the token.
  UdpEndpoint(std::shared_ptr<Device> device, const Token& token, EndpointEvents& user);
  /// Connects to it.
  UdpEndpoint(std::shared_ptr<Device> device, const Address& peer, const Token& token,
              EndpointEvents& user);
  ~UdpEndpoint() override;
  UdpEndpoint(const UdpEndpoint&) = delete;
  UdpEndpoint& operator=(const UdpEndpoint&) = delete;

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

  [[nodiscard]] const Drops& drops() const noexcept { return drops_; }
  [[nodiscard]] const Connection* connection() const noexcept { return connection_.get(); }

 private:
  // Handshake.
  bool greet(TimePoint now);
  bool call(TimePoint now);
  void send_hello(TimePoint now);
  void establish(ConnectionOptions options, TimePoint now);

  // Connection.
  bool exchange(TimePoint now);
  bool receive_batch();
  Intake::Outcome look_ahead(std::optional<Inbox::Forecast>* forecast);
  void take(const Intake::Arrival& arrival, TimePoint now);
  void flush();
  bool on_send_error(SendBatch::Result result, TimePoint now);

  /// Null where nothing may be posted; then `*why_not` says why.
  Outbox* writable(Posted* why_not) noexcept;
  Posted posted(bool accepted, bool at_once);
  Posted refuse(const std::string& what);
  void fail(const Error& reason);
  void finish();
  void say_goodbye() noexcept;
  void report_drops(TimePoint now);

  void on_completed(std::uint64_t context) override { user_.on_completed(context); }
  void on_immediate(std::uint32_t immediate) override { user_.on_immediate(immediate); }
  void on_message(std::span<const std::byte> message) override { user_.on_message(message); }
  void on_failed(const Error& reason) override { fail(reason); }

  std::shared_ptr<Device> device_;
  EndpointEvents& user_;
  std::optional<Socket> socket_;
  WakeUp wake_;
  Address address_;
  std::string peer_name_ = "the peer";
  std::optional<Greeter> greeter_;
  std::optional<Caller> caller_;
  TimePoint call_ends_{};
  int refusals_ = 0;
  std::unique_ptr<Connection> connection_;
  std::optional<TimePoint> send_again_;  // nothing is sent before
  bool send_failed_ = false;             // the last time
  bool is_bulk_ = false;                 // the last payload was long
  Drops drops_;
  Drops reported_;
  TimePoint next_report_{};
  std::optional<Error> failure_;
  bool is_closed_ = false;
  bool in_progress_ = false;
};

}  // namespace grainfabric::transport::udp
