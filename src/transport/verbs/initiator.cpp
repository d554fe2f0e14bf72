// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/initiator.hpp"

#include <cerrno>
#include <cstring>

#include "transport/verbs/error.hpp"
#include "transport/verbs/hello.hpp"
#include "transport/verbs/limits.hpp"

namespace grainfabric::transport::verbs {
namespace {

constexpr int kResolveMilliseconds = static_cast<int>(kResolveTimeout.count());

/// Of the InfiniBand specification, 12.6.7: a reject of the connection manager itself for a port
/// where nobody listens, and one by the peer's program.
constexpr int kRejectedNoListener = 8;
constexpr int kRejectedByPeer = 28;

}  // namespace

Initiator::Initiator(std::shared_ptr<Device> device, const Address& peer, const Token& token,
                     EndpointEvents& user)
    : VerbsEndpoint(std::move(device), user),
      token_(token),
      peer_(IpAddress::validated(peer, this->device().address())),
      resolving_(make_id()) {
  set_peer(peer_);
  check(rdma_resolve_addr(resolving_.get(), this->device().address().with_port(0).raw(),
                          peer_.raw(), kResolveMilliseconds),
        "Cannot find a way to " + peer_name());
  start_deadline();
}

void Initiator::on_connection_event(ConnectionEvent& event) {
  if (serve_common(event)) return;
  switch (event.type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
      check(rdma_resolve_route(resolving_.get(), kResolveMilliseconds),
            "Cannot find a route to " + peer_name());
      break;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
      request();
      break;
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
      confirm(event);
      break;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
      fail(failure_of(event));
      break;
    default:
      break;
  }
}

void Initiator::request() {
  open_channel(std::move(resolving_), peer_);
  const HelloRequest hello{{kHelloVersion, static_cast<std::uint8_t>(device().mtu()), {}}, token_};
  rdma_conn_param wanted = parameters(std::as_bytes(std::span(&hello, 1)));
  check(rdma_connect(connection(), &wanted), "Cannot connect to " + peer_name());
}

void Initiator::confirm(const ConnectionEvent& event) {
  const auto hello = parse_hello<HelloReply>(event.data);
  if (!hello || hello->mtu > device().mtu()) {
    throw Error(ErrorCode::protocol, peer_name() + " accepted with words that make no sense");
  }
  channel()->connect(*connection(), static_cast<ibv_mtu>(hello->mtu));
  check(rdma_establish(connection()), "Cannot confirm the connection with " + peer_name());
  established();
}

Error Initiator::failure_of(const ConnectionEvent& event) const {
  const std::string failure = "Cannot connect to " + peer_name();
  if (event.type == RDMA_CM_EVENT_REJECTED && event.status == kRejectedNoListener) {
    return {ErrorCode::unreachable, failure + ": nobody listens there",
            "Check that the target runs; it may have moved to another port meanwhile."};
  }
  if (event.type == RDMA_CM_EVENT_REJECTED && event.status == kRejectedByPeer) {
    return {ErrorCode::refused, failure + ": it turned this connection away",
            "See the target's log for the reason."};
  }
  // A negative status is an error number, any other is a reason of the wire protocol.
  const std::string why =
      event.status < 0 ? std::strerror(-event.status) : "status " + std::to_string(event.status);
  return {ErrorCode::unreachable, failure + ": " + rdma_event_str(event.type) + " (" + why + ")",
          "Check that the data addresses of both sides are of one network, which lets RoCE through "
          "(UDP port 4791), and that the target runs."};
}

}  // namespace grainfabric::transport::verbs
