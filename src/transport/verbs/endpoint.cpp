// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/endpoint.hpp"

#include <algorithm>
#include <cerrno>

#include "base/log.hpp"
#include "transport/verbs/error.hpp"
#include "transport/verbs/limits.hpp"

namespace grainfabric::transport::verbs {

VerbsEndpoint::VerbsEndpoint(std::shared_ptr<Device> device, EndpointEvents& user)
    : device_(std::move(device)),
      user_(user),
      events_(make_event_channel(device_->name())),
      connections_(device_, *this) {
  device_->add(*this);
}

VerbsEndpoint::~VerbsEndpoint() {
  device_->remove(*this);
  connections_.close();
}

ConnectionId VerbsEndpoint::make_id() {
  rdma_cm_id* id = nullptr;
  check(rdma_create_id(events_.get(), &id, nullptr, RDMA_PS_TCP),
        "Cannot use the RDMA connection manager for " + device_->name());
  ConnectionId owner(id);
  if (auto traffic_class = device_->settings().traffic_class) {
    auto octet = static_cast<std::uint8_t>(*traffic_class);
    check(rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &octet, sizeof octet),
          "Cannot set traffic-class on " + device_->name());
  }
  return owner;
}

Connection& VerbsEndpoint::open_connection(ConnectionId id, const IpAddress& peer) {
  set_peer(peer);
  if (id->verbs == nullptr || id->port_num != device_->settings().port ||
      device_->capabilities().interface != ibv_get_device_name(id->verbs->device)) {
    throw Error(ErrorCode::unreachable,
                "The way to " + peer_name_ + " leads through another RDMA device",
                "Set interface on both sides to addresses of one network.");
  }
  return connections_.add(std::move(id), peer_name_);
}

rdma_conn_param VerbsEndpoint::parameters(const Channel& channel,
                                          std::span<const std::byte> hello) const {
  const Settings& settings = device_->settings();
  rdma_conn_param parameters{};
  parameters.private_data = hello.data();
  parameters.private_data_len = static_cast<std::uint8_t>(hello.size());
  parameters.responder_resources = device_->read_depth();
  parameters.initiator_depth = device_->read_depth();
  parameters.retry_count = static_cast<std::uint8_t>(settings.retry_count);
  parameters.rnr_retry_count = static_cast<std::uint8_t>(settings.rnr_retry);
  parameters.qp_num = channel.number();
  return parameters;
}

template <typename Post>
Posted VerbsEndpoint::post(const Post& post) {
  if (state_ == State::closed || failure_) return Posted::failed;
  return state_ == State::connected ? post(connections_) : Posted::again;
}

Posted VerbsEndpoint::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                            std::uint64_t key, std::optional<std::uint32_t> immediate,
                            std::uint64_t context) {
  return post(
      [&](Connections& to) { return to.write(pieces, target_address, key, immediate, context); });
}

Posted VerbsEndpoint::inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                                   std::uint64_t key, std::uint32_t immediate) {
  return post(
      [&](Connections& to) { return to.inject_write(data, target_address, key, immediate); });
}

Posted VerbsEndpoint::read(const LocalPiece& destination, std::uint64_t source_address,
                           std::uint64_t key, std::uint64_t context) {
  return post([&](Connections& to) { return to.read(destination, source_address, key, context); });
}

Posted VerbsEndpoint::send(std::span<const std::byte> message, std::uint64_t context) {
  return post([&](Connections& to) { return to.send(message, context); });
}

void VerbsEndpoint::append_fds(std::vector<int>* fds) const {
  fds->push_back(deadline_.fd());  // once it is closed never readable: nothing to do
  if (state_ == State::closed) return;
  fds->insert(fds->end(), {events_->fd, device_->fd()});
  // Not while connecting: what the peer writes first may be there before its connection event is.
  if (state_ == State::connected) connections_.append_fds(fds);
}

bool VerbsEndpoint::arm() {
  look_at_control_ = true;
  if (failure_) return state_ == State::closed;
  if (state_ != State::connected) return true;
  try {
    return connections_.arm();
  } catch (const Error& error) {
    fail(error);
    return false;
  }
}

bool VerbsEndpoint::progress() {
  if (state_ == State::closed || in_progress_) return false;
  in_progress_ = true;
  bool done = false;
  if (!failure_) {
    try {
      done = drive();
    } catch (const Error& error) {
      fail(error);
    }
  }
  if (state_ == State::connecting && deadline_.is_over()) {
    fail(Error(ErrorCode::timed_out,
               "No answer from " + peer_name_ + " within " +
                   std::to_string(kConnectTimeout.count()) + " ms",
               "Check that both sides use provider=verbs, and that their data addresses are of one "
               "network, which lets RoCE through (UDP port 4791)."));
  }
  if (failure_) {
    finish();
    done = true;
  }
  in_progress_ = false;
  return done;
}

bool VerbsEndpoint::drive() {
  bool done = false;
  if (look_at_control_ || ++spins_ == kControlInterval) {
    look_at_control_ = false;
    spins_ = 0;
    done = serve_control();
  }
  if (state_ == State::connected && !failure_) done |= connections_.drain(kProgressBatch) > 0;
  return done;
}

bool VerbsEndpoint::serve_control() {
  bool done = device_->serve_events();
  while (!failure_) {
    std::optional<ConnectionEvent> event = next_event();
    if (!event) break;
    done = true;
    on_connection_event(*event);
  }
  return done;
}

std::optional<ConnectionEvent> VerbsEndpoint::next_event() {
  rdma_cm_event* raw = nullptr;
  if (rdma_get_cm_event(events_.get(), &raw) != 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return std::nullopt;
    throw Error::from_errno(errno, "Connection events of " + device_->name() + " cannot be read");
  }
  ConnectionEvent event{raw->event, raw->id, raw->status, {}};
  if (const auto* data = static_cast<const std::byte*>(raw->param.conn.private_data)) {
    event.data.assign(data, data + raw->param.conn.private_data_len);
  }
  rdma_ack_cm_event(raw);
  return event;
}

bool VerbsEndpoint::serve_common(const ConnectionEvent& event) {
  switch (event.type) {
    case RDMA_CM_EVENT_DISCONNECTED:
      fail(Error(ErrorCode::disconnected, peer_name_ + " closed the connection"));
      return true;
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
      fail(Error(ErrorCode::io, device_->name() + " has been removed"));
      return true;
    case RDMA_CM_EVENT_ADDR_CHANGE:
      log(LogLevel::warning, "verbs",
          "The hardware address on the way to " + peer_name_ + " has changed");
      return true;
    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
      return true;
    default:
      return false;
  }
}

void VerbsEndpoint::on_device_event(const ibv_async_event& event) {
  if (connections_.empty()) {
    if (event.event_type == IBV_EVENT_DEVICE_FATAL) {
      fail(Error(ErrorCode::io, device_->name() + " has failed", "See the kernel's log (dmesg)."));
    }
    return;
  }
  const auto end_by = [&](bool is_mine, ErrorCode code) {
    if (!is_mine) return;
    fail(Error(code, "The connection with " + peer_name_ +
                         " ended: " + ibv_event_type_str(event.event_type)));
  };
  switch (event.event_type) {
    case IBV_EVENT_DEVICE_FATAL:
      end_by(true, ErrorCode::io);
      break;
    case IBV_EVENT_CQ_ERR:
      end_by(connections_.has(event.element.cq), ErrorCode::io);
      break;
    case IBV_EVENT_QP_FATAL:
      end_by(connections_.find(event.element.qp) != nullptr, ErrorCode::io);
      break;
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_PATH_MIG_ERR:
      end_by(connections_.find(event.element.qp) != nullptr, ErrorCode::protocol);
      break;
    case IBV_EVENT_COMM_EST:
      // Data came before the word that the connection stands, which may be lost: the connection
      // manager is told. It fails where that word has come meanwhile.
      if (const Connection* one = connections_.find(event.element.qp)) {
        rdma_notify(one->id.get(), event.event_type);
      }
      break;
    default:
      break;  // the rest heals, or shows in what fails by it; Device has said so
  }
}

void VerbsEndpoint::finish() {
  // What arrived before the end is delivered before the end is told; bounded by what can be posted.
  if (state_ == State::connected) {
    try {
      connections_.drain(connections_.depth());
    } catch (const Error& error) {
      log(LogLevel::warning, "verbs", error.what());
    }
  }
  state_ = State::closed;
  deadline_.cancel();
  connections_.close();
  user_.on_closed(*failure_);
}

void VerbsEndpoint::established() {
  state_ = State::connected;
  deadline_.cancel();
  log(LogLevel::debug, "verbs", "Connected: " + peer_name_);
  user_.on_connected();
}

void VerbsEndpoint::fail(const Error& reason) {
  if (!failure_) failure_ = reason;
}

}  // namespace grainfabric::transport::verbs
