// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/client.hpp"

#include <memory>
#include <utility>

#include "tool/bench/report.hpp"
#include "transport/interface.hpp"
#include "transport/table.hpp"

namespace grainfabric::tool {
namespace {

GObjectPtr<GSocketConnection> connect(const ClientOptions& options) {
  const GObjectPtr<GSocketClient> client(g_socket_client_new());
  g_socket_client_set_enable_proxy(client.get(), FALSE);
  g_socket_client_set_timeout(
      client.get(), static_cast<guint>(protocol::kHandshakeStep / std::chrono::seconds(1)));
  const GObjectPtr<GSocketConnectable> address(
      G_SOCKET_CONNECTABLE(g_network_address_new(options.host.c_str(), options.port)));
  GErrorSlot error;
  GObjectPtr<GSocketConnection> connection(
      g_socket_client_connect(client.get(), address.get(), nullptr, error.out()));
  if (!connection) {
    const bool refused = error.is(G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
    throw Error(ErrorCode::unreachable,
                "Cannot connect to " + options.host + " port " + std::to_string(options.port) +
                    ": " + error.message(),
                refused ? "Start `grainfabric bench server` there, or give its --port."
                        : "Check the host's name, the network, and its firewall.");
  }
  // The timeout was for connecting; later ones are the conversation's.
  g_socket_set_timeout(g_socket_connection_get_socket(connection.get()), 0);
  return connection;
}

}  // namespace

int run_client(const ClientOptions& options) {
  transport::require_offers(options.conversation.provider);
  if (!options.conversation.interface.empty()) {
    transport::local_address_of(options.conversation.interface);
  }
  GObjectPtr<GSocketConnection> connection = connect(options);
  Report report(options.json, options.quiet);
  EventLoop loop(options.cpus);
  std::unique_ptr<Conversation> conversation;
  std::future<void> finished;
  loop.call([&] {
    conversation =
        std::make_unique<Conversation>(loop, std::move(connection), options.conversation, report);
    finished = conversation->finished();
  });
  finished.wait();
  loop.call([&] { conversation.reset(); });
  try {
    finished.get();
  } catch (const Error& error) {
    report.finish(error.what());
    throw;
  }
  report.finish({});
  return 0;
}

}  // namespace grainfabric::tool
