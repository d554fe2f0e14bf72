// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.hpp"
#include "transport/udp/endpoint.hpp"

/// The part of an endpoint's life before its Connection.
namespace grainfabric::transport::udp {
namespace {

/// Datagrams of strangers looked at in one progress().
constexpr int kHandshakeBatch = 16;
/// HELLOs answered by "nobody has this port" before that is believed: it can be forged.
constexpr int kRefusalsToBelieve = 3;
/// So that a peer that says it holds nothing cannot stall us.
constexpr std::size_t kLeastWindow = 2 * kBaseDatagram;

}  // namespace

bool UdpEndpoint::greet(TimePoint now) {
  bool done = false;
  for (int i = 0; i < kHandshakeBatch && !connection_; ++i) {
    std::array<std::byte, kBaseDatagram + 1> bytes;  // a longer one is cut, and seen to be no HELLO
    SocketAddress from;
    from.size = sizeof from.v6;
    const ssize_t size =
        ::recvfrom(socket_->fd(), bytes.data(), bytes.size(), MSG_DONTWAIT, &from.any, &from.size);
    if (size < 0) break;
    done = true;
    const auto answer = greeter_->on_datagram(
        parse(std::span(bytes).first(static_cast<std::size_t>(size))), from, &drops_);
    if (!answer) continue;
    ::sendto(socket_->fd(), answer->bytes.data(), answer->size, MSG_DONTWAIT, &from.any, from.size);
    if (const auto& guest = greeter_->guest()) {
      peer_name_ = describe(from) + " (udp on " + device_->capabilities.interface + ")";
      socket_->connect(from);
      ConnectionOptions options;
      options.own_id = guest->own_id;
      options.peer_id = guest->hello.connection;
      options.peer_window = guest->hello.window;
      establish(std::move(options), now);
    }
  }
  report_drops(now);
  return done;
}

bool UdpEndpoint::call(TimePoint now) {
  bool done = false;
  for (int i = 0; i < kHandshakeBatch && !connection_; ++i) {
    std::array<std::byte, kBaseDatagram> bytes;
    const ssize_t size = ::recv(socket_->fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == ECONNREFUSED && ++refusals_ >= kRefusalsToBelieve) {
      throw Error(ErrorCode::unreachable, "Nobody answers at " + peer_name_,
                  "Check that the target still runs, and that no firewall rejects UDP.");
    }
    if (size < 0) break;
    done = true;
    const auto welcome = caller_->on_datagram(
        parse(std::span(bytes).first(static_cast<std::size_t>(size))), &drops_, now);
    if (!welcome) continue;
    ConnectionOptions options;
    options.own_id = caller_->hello().connection;
    options.peer_id = welcome->target;
    options.peer_window = welcome->window;
    options.round_trip = caller_->round_trip();
    establish(std::move(options), now);
    return true;
  }
  if (now >= call_ends_) {
    throw Error(ErrorCode::timed_out,
                "No answer from " + peer_name_ + " within " +
                    std::to_string(kConnectTimeout.count()) + " ms",
                "Check that both sides use the same provider, and that no firewall between the "
                "data addresses drops UDP.");
  }
  if (now >= caller_->next_hello()) {
    send_hello(now);
    done = true;
  }
  return done;
}

void UdpEndpoint::send_hello(TimePoint now) {
  std::array<std::byte, kBaseDatagram> bytes;
  const std::size_t size = udp::write(caller_->hello(), bytes);
  if (::send(socket_->fd(), bytes.data(), size, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED) {
    ++refusals_;
  }
  caller_->on_hello_sent(now);
}

void UdpEndpoint::establish(ConnectionOptions options, TimePoint now) {
  options.peer_window = std::max(options.peer_window, kLeastWindow);
  options.largest_datagram = socket_->largest_datagram();
  options.peer = peer_name_;
  Connection::Events& events = *this;
  connection_ = std::make_unique<Connection>(device_->registry, std::move(options), events, now);
  log(LogLevel::debug, "udp", "Connected: " + peer_name_);
  user_.on_connected();
}

}  // namespace grainfabric::transport::udp
