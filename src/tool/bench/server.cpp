// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/server.hpp"

#include <glib-unix.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tool/bench/limits.hpp"
#include "tool/text.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/local/local.hpp"
#include "transport/table.hpp"

namespace grainfabric::tool {

Server::Server(EventLoop& loop, ServerOptions options) : loop_(loop), options_(std::move(options)) {
  transport::require_offers(options_.provider);
  if (!options_.interface.empty()) transport::local_address_of(options_.interface);
  g_signal_connect(
      service_.get(), "incoming",
      G_CALLBACK(+[](GSocketService*, GSocketConnection* connection, GObject*, gpointer self) {
        static_cast<Server*>(self)->on_connection(connection);
        return TRUE;
      }),
      this);
  if (!options_.address.empty()) {
    port_ = listen(transport::local_address_of(options_.address));
    return;
  }
  try {
    port_ = listen("::");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::io) throw;
    port_ = listen("0.0.0.0");  // a host without IPv6
  }
}

Server::~Server() {
  g_signal_handlers_disconnect_by_data(service_.get(), this);
  g_socket_service_stop(service_.get());
  g_socket_listener_close(G_SOCKET_LISTENER(service_.get()));
}

std::uint16_t Server::listen(const std::string& address) {
  const GObjectPtr<GSocketAddress> wanted(
      g_inet_socket_address_new_from_string(address.c_str(), options_.port));
  GSocketAddress* bound = nullptr;
  GErrorSlot error;
  if (g_socket_listener_add_address(G_SOCKET_LISTENER(service_.get()), wanted.get(),
                                    G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, nullptr, &bound,
                                    error.out()) != TRUE) {
    const bool in_use = error.is(G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    const bool forbidden = error.is(G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    throw Error(in_use      ? ErrorCode::address_in_use
                : forbidden ? ErrorCode::permission
                            : ErrorCode::io,
                "Cannot listen on " + address + " port " + std::to_string(options_.port) + ": " +
                    error.message(),
                "Choose another --port, or 0 for any free one.");
  }
  const GObjectPtr<GSocketAddress> owner(bound);
  return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
}

void Server::on_connection(GSocketConnection* connection) {
  if (sessions_.size() > kMaxStrangers) return;  // closed with its last reference
  sessions_.push_back(std::make_shared<Session>(
      loop_, GObjectPtr<GSocketConnection>(G_SOCKET_CONNECTION(g_object_ref(connection))),
      options_.polling, *this));
}

std::unique_ptr<transport::Domain> Server::admit(Session& session, const Hello& hello,
                                                 Welcome& welcome) {
  if (served_ != nullptr) {
    throw Error(ErrorCode::busy, "This server serves " + served_->peer() + " already",
                "Try again when that benchmark is over, or start another server.");
  }
  const auto& table = transport::Table::shared();
  const std::string local =
      options_.interface.empty()
          ? session.local_address()
          : transport::local_address_of(options_.interface, session.local_address());
  const auto own = transport::offers(options_.provider, table.providers_for(options_.provider),
                                     transport::facts_of(local));
  const bool one_host = hello.host_hint == transport::local::same_host_hint({});
  const auto common = transport::common_providers(own, hello.offers, one_host);
  welcome.reason = "first of the server's [" + transport::join_names(own) +
                   "] that the client offers [" + transport::join_names(hello.offers) + "]";
  if (common.empty()) {
    throw Error(ErrorCode::unknown_provider,
                "No common transport: the server has [" + transport::join_names(own) +
                    "], the client offers [" + transport::join_names(hello.offers) + "]",
                "Set --provider alike on both sides, or leave it at auto.");
  }
  welcome.provider = common.front();
  auto domain = table.open({common.front(), local, {}});
  served_ = &session;
  on_session_said(session, hello.software + " over " + welcome.provider);
  return domain;
}

void Server::on_session_said(Session& session, const std::string& what) {
  if (!options_.quiet) print_line(stdout, session.peer() + ": " + what);
}

void Server::on_session_over(Session& session, const Error& reason, bool orderly) {
  const bool was_served = served_ == &session;
  if (was_served) served_ = nullptr;
  const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                  [&](const auto& other) { return other.get() == &session; });
  // It may be in the middle of a call.
  loop_.post([gone = std::move(*found)] {});
  sessions_.erase(found);
  // Port scanners and health checks connect and go: not worth a word.
  if (orderly || was_served || reason.code() != ErrorCode::disconnected) {
    on_session_said(session, reason.what());
  }
}

int run_server(const ServerOptions& options) {
  const std::unique_ptr<GMainLoop, decltype(&g_main_loop_unref)> main_loop(
      g_main_loop_new(nullptr, FALSE), &g_main_loop_unref);
  const auto quit = [](gpointer loop) -> gboolean {
    g_main_loop_quit(static_cast<GMainLoop*>(loop));
    return G_SOURCE_CONTINUE;
  };
  g_unix_signal_add(SIGINT, quit, main_loop.get());
  g_unix_signal_add(SIGTERM, quit, main_loop.get());

  EventLoop loop(options.cpus);
  std::unique_ptr<Server> server;
  loop.call([&] { server = std::make_unique<Server>(loop, options); });
  print_line(stdout, "Listening on port " + std::to_string(server->port()));
  g_main_loop_run(main_loop.get());
  loop.call([&] { server.reset(); });
  return 0;
}

}  // namespace grainfabric::tool
