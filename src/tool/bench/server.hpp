// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tool/bench/session.hpp"

namespace grainfabric::tool {

struct ServerOptions {
  std::string address;  ///< Interface or address of this host; empty: all.
  std::uint16_t port = protocol::kDefaultPort;
  std::string provider = "auto";
  std::string interface;  ///< For the data; empty: where the control connection came in.
  Polling polling = Polling::event;
  std::string cpus;  ///< See EventLoop.
  bool quiet = false;
};

/// `grainfabric bench server`: listens, and serves one client after another. Loop thread only.
class Server final : public Session::Owner {
 public:
  /// Listens. Throws Error.
  Server(EventLoop& loop, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

 private:
  std::uint16_t listen(const std::string& address);
  void on_connection(GSocketConnection* connection);
  std::unique_ptr<transport::Domain> admit(Session& session, const Hello& hello,
                                           Welcome& welcome) override;
  void on_session_said(Session& session, const std::string& what) override;
  void on_session_over(Session& session, const Error& reason, bool orderly) override;

  EventLoop& loop_;
  const ServerOptions options_;
  GObjectPtr<GSocketService> service_{g_socket_service_new()};
  std::uint16_t port_ = 0;
  std::vector<std::shared_ptr<Session>> sessions_;
  const Session* served_ = nullptr;  // of sessions_; the others have not said HELLO
};

/// Runs a Server until SIGINT or SIGTERM.
int run_server(const ServerOptions& options);

}  // namespace grainfabric::tool
