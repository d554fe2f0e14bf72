// SPDX-License-Identifier: Apache-2.0
#include "session/dial.hpp"

#include <utility>

#include "session/target_name.hpp"
#include "transport/interface.hpp"

namespace grainfabric {
namespace {

Error connect_error(const GErrorSlot& error, const std::string& target) {
  const std::string what = "Cannot connect to the target " + target + ": " + error.message();
  if (error.is(G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND) ||
      error.is(G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND) ||
      error.is(G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT)) {
    return {ErrorCode::unresolvable, what, "Check the host property."};
  }
  return {ErrorCode::unreachable, what, "Is fabricsrc running there, and the port open?"};
}

}  // namespace

Dial::Dial(EventLoop& loop, const InitiatorOptions& options, Events& events)
    : target_(target_name(options)), events_(events) {
  const GObjectPtr<GSocketClient> client(g_socket_client_new());
  g_socket_client_set_enable_proxy(client.get(), FALSE);
  if (!options.interface.empty()) {
    const std::string local = transport::local_address_of(options.interface, options.host);
    const GObjectPtr<GSocketAddress> address(
        g_inet_socket_address_new_from_string(local.c_str(), 0));
    g_socket_client_set_local_address(client.get(), address.get());
  }
  deadline_ = loop.after(protocol::kHandshakeStep, [this] {
    self_.reset();
    events_.on_dial_failed(Error(ErrorCode::timed_out,
                                 "Connecting to " + target_ + " takes too long",
                                 "Is the host reachable, and does a firewall drop the port?"));
  });
  const GObjectPtr<GSocketConnectable> address(
      G_SOCKET_CONNECTABLE(g_network_address_new(options.host.c_str(), options.port)));
  g_socket_client_connect_async(client.get(), address.get(), cancellable_.get(), on_socket,
                                new std::weak_ptr<Dial*>(self_));
}

Dial::~Dial() {
  self_.reset();
  g_cancellable_cancel(cancellable_.get());
}

void Dial::on_socket(GObject* client, GAsyncResult* result, gpointer data) {
  const std::unique_ptr<std::weak_ptr<Dial*>> handle(static_cast<std::weak_ptr<Dial*>*>(data));
  GErrorSlot error;
  GObjectPtr<GSocketConnection> connection(
      g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, error.out()));
  const std::shared_ptr<Dial*> self = handle->lock();
  if (!self) return;  // given up
  Dial& dial = **self;
  dial.deadline_.reset();
  if (connection) {
    dial.events_.on_dialled(std::move(connection));
  } else {
    dial.events_.on_dial_failed(connect_error(error, dial.target_));
  }
}

}  // namespace grainfabric
