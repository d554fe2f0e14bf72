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
      peer_(IpAddress::validated(peer, this->device().address())) {
  set_peer(peer_);
  connections().expect(this->device().settings().queue_pairs);
  resolve();
  start_deadline();
}

void Initiator::resolve() {
  resolving_ = make_id();
  check(rdma_resolve_addr(resolving_.get(), device().address().with_port(0).raw(), peer_.raw(),
                          kResolveMilliseconds),
        "Cannot find a way to " + peer_name());
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
  const auto index = static_cast<std::uint8_t>(connections().size());
  const Connection& one = open_connection(std::move(resolving_), peer_);
  const HelloRequest hello{{kHelloVersion, static_cast<std::uint8_t>(device().mtu()),
                            static_cast<std::uint8_t>(connections().expected()), index},
                           token_};
  rdma_conn_param wanted = parameters(*one.channel, std::as_bytes(std::span(&hello, 1)));
  check(rdma_connect(one.id.get(), &wanted), "Cannot connect to " + peer_name());
}

void Initiator::confirm(const ConnectionEvent& event) {
  const auto hello = parse_hello<HelloReply>(event.data);
  const Connection* one = connections().find(event.id);
  if (one == nullptr || !hello || hello->mtu > device().mtu() ||
      !is_next(*hello, connections().standing(), connections().expected())) {
    throw Error(ErrorCode::protocol, peer_name() + " accepted with words that make no sense");
  }
  one->channel->connect(*one->id, static_cast<ibv_mtu>(hello->mtu));
  check(rdma_establish(event.id), "Cannot confirm the connection with " + peer_name());
  if (connections().note_standing(event.id)) {
    established();
  } else {
    resolve();
  }
}

Error Initiator::failure_of(const ConnectionEvent& event) {
  std::string failure = "Cannot connect to " + peer_name();
  if (const std::size_t standing = connections().standing(); standing > 0) {
    failure += " with queue pair " + std::to_string(standing + 1) + " of " +
               std::to_string(connections().expected());
  }
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
