// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/acceptor.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "transport/verbs/error.hpp"
#include "transport/verbs/limits.hpp"

namespace grainfabric::transport::verbs {

Acceptor::Acceptor(std::shared_ptr<Device> device, const Token& token, EndpointEvents& user)
    : VerbsEndpoint(std::move(device), user), token_(token), listener_(make_id()) {
  const IpAddress& own = this->device().address();
  const std::string failure = "Cannot listen at " + own.text() + " (" + this->device().name() + ")";
  check(rdma_bind_addr(listener_.get(), own.with_port(0).raw()), failure);
  check(rdma_listen(listener_.get(), kBacklog), failure);
  set_address(own.with_port(rdma_get_src_port(listener_.get())).to_wire());
}

void Acceptor::on_connection_event(ConnectionEvent& event) {
  if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) {
    on_request(event);
    return;
  }
  const bool is_ours = connections().find(event.id) != nullptr || event.id == listener_.get();
  if (!is_ours || serve_common(event)) return;
  switch (event.type) {
    case RDMA_CM_EVENT_ESTABLISHED:
      if (connections().note_standing(event.id)) established();
      break;
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
      fail(Error(ErrorCode::disconnected, peer_name() + " went before the connection stood (" +
                                              rdma_event_str(event.type) + ")"));
      break;
    default:
      break;
  }
}

void Acceptor::on_request(ConnectionEvent& event) {
  ConnectionId id(event.id);
  const auto from = IpAddress::from(*rdma_get_peer_addr(id.get()));
  const std::string who = from ? from->text() : "somebody without an IP address";
  const auto hello = parse_hello<HelloRequest>(event.data);
  const char* why = refusal(from, hello);
  if (why == nullptr) {
    accept(std::move(id), *from, hello->head);
    return;
  }
  log(LogLevel::warning, "verbs",
      "Turned away " + who + " at " + device().address().text() + " (" + device().name() +
          "): " + why);
  if (rdma_reject(id.get(), nullptr, 0) != 0) {
    log(LogLevel::warning, "verbs", "Rejecting " + who + " failed");
  }
}

const char* Acceptor::refusal(const std::optional<IpAddress>& from,
                              const std::optional<HelloRequest>& hello) {
  if (!from || !hello) return "it speaks another protocol";
  if (!token_.matches(hello->token)) return "it does not know the token";
  if (peer_ && !from->same_host(*peer_)) return "another is connected";
  if (is_next(hello->head, connections().size(), connections().expected())) return nullptr;
  return connections().size() > 0 ? "already connected" : "it did not ask for its first queue pair";
}

void Acceptor::accept(ConnectionId id, const IpAddress& peer, const HelloReply& asked) {
  if (connections().empty()) {
    start_deadline();
    peer_ = peer;
    connections().expect(asked.queue_pairs);
  }
  const Connection& one = open_connection(std::move(id), peer);
  const ibv_mtu offered = static_cast<ibv_mtu>(asked.mtu);
  const ibv_mtu mtu = path_mtu(*one.id, std::min(offered, device().mtu()));
  one.channel->connect(*one.id, mtu);
  HelloReply reply = asked;
  reply.mtu = static_cast<std::uint8_t>(mtu);
  rdma_conn_param accepted = parameters(*one.channel, std::as_bytes(std::span(&reply, 1)));
  check(rdma_accept(one.id.get(), &accepted), "Cannot accept " + peer_name());
}

}  // namespace grainfabric::transport::verbs
