// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/connected_endpoint.hpp"

#include <rdma/fi_cm.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>

#include "base/log.hpp"
#include "transport/ofi/address.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/sockets.hpp"
#include "transport/ofi/within_host.hpp"

namespace grainfabric::transport::ofi {
namespace {

Error disconnected(const std::string& peer) {
  return {ErrorCode::disconnected, peer + " closed the connection"};
}

bool presents(const std::vector<std::byte>& private_data, const Token& token) {
  // Longer where the provider pads to what its wire has room for (verbs).
  constexpr std::size_t kSize = sizeof token.bytes;
  if (private_data.size() < kSize) return false;
  return token.matches(Token::from_bytes(std::span(private_data).first(kSize)));
}

std::span<const std::byte> own_address(const Device& device) {
  const fi_info& info = device.info();
  if (!device.is_bound() || info.src_addr == nullptr) return {};
  return {static_cast<const std::byte*>(info.src_addr), info.src_addrlen};
}

/// What to open an endpoint to `peer` with.
Info info_towards(const Device& device, const Address& peer) {
  Info info = duplicate(device.info());
  if (!device.is_bound()) {  // the route decides then
    std::free(info->src_addr);
    info->src_addr = nullptr;
    info->src_addrlen = 0;
    if (peer.format != device.address_format()) {
      info->addr_format = info->addr_format == FI_SOCKADDR_IN ? FI_SOCKADDR_IN6 : FI_SOCKADDR_IN;
    }
  }
  std::free(info->dest_addr);
  info->dest_addr = std::malloc(peer.bytes.size());  // freed with the info, by free()
  if (info->dest_addr == nullptr) throw error_of(FI_ENOMEM, "Cannot connect");
  std::memcpy(info->dest_addr, peer.bytes.data(), peer.bytes.size());
  info->dest_addrlen = peer.bytes.size();
  return info;
}

}  // namespace

ConnectedEndpoint::ConnectedEndpoint(std::shared_ptr<const Device> device, EndpointEvents& user)
    : OfiEndpoint(std::move(device), user), events_(this->device()) {}

void ConnectedEndpoint::open_channel(fi_info& info) {
  channel_ = std::make_unique<Channel>(shared_device(), info, events_.get(), nullptr, peer_name(),
                                       static_cast<ChannelEvents&>(*this));
}

void ConnectedEndpoint::add_waitables(std::vector<int>* fds, std::vector<fid_t>* objects) const {
  fds->push_back(events_.fd());
  objects->push_back(events_.base());
  // Not while connecting: what the peer writes first may be there before its connection event is.
  if (channel_ && state() == State::connected) {
    fds->push_back(channel_->fd());
    objects->push_back(channel_->queue());
  }
}

Posted ConnectedEndpoint::send_message(Channel& channel, std::span<const std::byte> message,
                                       std::uint64_t context) {
  return channel.send({}, message, context);
}

bool ConnectedEndpoint::drive() {
  bool done = false;
  if (state() == State::connected) done = channel_->drain(kProgressBatch) > 0;
  while (!is_failing()) {
    std::optional<ConnectionEvent> event = events_.read();
    if (!event) break;
    done = true;
    serve(*event);
  }
  return done;
}

void ConnectedEndpoint::serve(ConnectionEvent& event) {
  switch (event.kind) {
    case ConnectionEvent::Kind::request:
      on_request(event);
      break;
    case ConnectionEvent::Kind::connected:
      if (state() == State::connecting && channel_) {
        unpace_within_host(channel_->endpoint());
        established();
      }
      break;
    case ConnectionEvent::Kind::shutdown:
      if (channel_) fail(disconnected(peer_name()));
      break;
    case ConnectionEvent::Kind::failed:
      fail(failure_of(event));
      break;
  }
}

ConnectionAcceptor::ConnectionAcceptor(std::shared_ptr<const Device> device, const Token& token,
                                       EndpointEvents& user)
    : ConnectedEndpoint(std::move(device), user), token_(token) {
  const std::string& name = this->device().name();
  const Info info = duplicate(this->device().info());
  fid_pep* listener = nullptr;
  check(fi_passive_ep(this->device().fabric(), info.get(), &listener, nullptr),
        "Cannot listen with " + name);
  listener_ = Fid(listener);
  check(fi_pep_bind(listener, events().base(), 0), "Cannot listen with " + name);
  check(fi_listen(listener), "Cannot listen with " + name);
  set_address(name_of(listener_.base(), info->addr_format, name));
}

void ConnectionAcceptor::close() noexcept {
  ConnectedEndpoint::close();
  if (listener_) turn_away_pending();
  listener_.reset();
}

void ConnectionAcceptor::turn_away_pending() noexcept {
  try {
    reject_pending();
    SocketAddress own;
    if (device().info().fabric_attr->prov_name == std::string_view("tcp") &&
        fi_getname(listener_.base(), &own.storage, &own.size) == 0 && shut_down_accepted_at(own)) {
      reject_pending();
    }
  } catch (const std::exception& error) {
    log(LogLevel::warning, "ofi", error.what());
  }
}

void ConnectionAcceptor::reject_pending() {
  // One look takes a connection, the next its request.
  constexpr int kQuietLooks = 2;
  constexpr int kMostLooks = 10'000;  // twice tcp's backlog: a flood is not waited out
  for (int quiet = 0, looks = 0; quiet < kQuietLooks && looks < kMostLooks; ++looks) {
    const std::optional<ConnectionEvent> event = events().read();
    quiet = event ? 0 : quiet + 1;
    if (event && event->request) {
      fi_reject(listener_.get(), event->request->handle, nullptr, 0);
    }
  }
}

void ConnectionAcceptor::on_request(ConnectionEvent& event) {
  Address asking;
  const fi_info& request = *event.request;
  if (const auto* bytes = static_cast<const std::byte*>(request.dest_addr)) {
    asking.bytes.assign(bytes, bytes + request.dest_addrlen);
    asking.format = format_name(request.addr_format, bytes, request.dest_addrlen);
  }
  const std::string who = describe(asking);
  if (channel() != nullptr || !presents(event.data, token_)) {
    log(LogLevel::warning, "ofi",
        "Turned away " + who + " at " + describe(address()) + " (" + device().name() +
            "): " + (channel() != nullptr ? "already connected" : "it does not know the token"));
    if (const int result = fi_reject(listener_.get(), request.handle, nullptr, 0); result != 0) {
      log(LogLevel::warning, "ofi", std::string("Rejecting failed: ") + fi_strerror(-result));
    }
    return;
  }
  set_peer_name(who);
  start_deadline();
  open_channel(*event.request);
  check(fi_accept(channel()->endpoint(), nullptr, 0), "Cannot accept " + peer_name());
}

Error ConnectionAcceptor::failure_of(const ConnectionEvent& event) const {
  return error_of(event.error_number, "The connection with " + peer_name() + " failed", {},
                  event.detail);
}

ConnectionInitiator::ConnectionInitiator(std::shared_ptr<const Device> device, const Address& peer,
                                         const Token& token, EndpointEvents& user)
    : ConnectedEndpoint(std::move(device), user) {
  const Address target =
      validated(peer, this->device().address_format(), own_address(this->device()));
  set_peer_name(describe(target));
  const Info info = info_towards(this->device(), target);
  open_channel(*info);
  check(fi_connect(channel()->endpoint(), target.bytes.data(), token.bytes.data(),
                   token.bytes.size()),
        "Cannot connect to " + peer_name());
  start_deadline();
}

Error ConnectionInitiator::failure_of(const ConnectionEvent& event) const {
  return error_of(event.error_number, "Cannot connect to " + peer_name(),
                  "Check that the target runs and that no firewall is between the data addresses.",
                  event.detail);
}

}  // namespace grainfabric::transport::ofi
