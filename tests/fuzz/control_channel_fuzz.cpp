// SPDX-License-Identifier: Apache-2.0
// What a stranger may send to a control port: a real Channel on a real event loop, at the other end
// of a connection, that gets the input in two parts and then the end of it.
#include <sys/socket.h>

#include <future>

#include "base/fd.hpp"
#include "control_messages.hpp"
#include "message/channel.hpp"

namespace grainfabric::fuzz {
namespace {

/// Decodes all that comes, until the channel ends; which it must.
class Receiver final : public ChannelEvents {
 public:
  void on_message(std::uint16_t type, GVariant* fields) override { decode_any(type, fields); }
  void on_channel_closed(const Error&) override { closed.set_value(); }
  std::promise<void> closed;
};

void send_all(const UniqueFd& socket, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return;  // the channel has heard enough
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

void feed(std::span<const std::uint8_t> input) {
  static EventLoop& loop = *new EventLoop;  // one for all inputs, and never ended
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  UniqueFd peer(ends[0]);
  const GObjectPtr<GSocket> socket(g_socket_new_from_fd(ends[1], nullptr));
  Receiver receiver;
  std::unique_ptr<Channel> channel;
  loop.call([&] {
    channel = std::make_unique<Channel>(
        loop,
        GObjectPtr<GSocketConnection>(g_socket_connection_factory_create_connection(socket.get())),
        receiver);
  });
  send_all(peer, input.first(input.size() / 2));
  loop.call([] {});  // time to read it
  send_all(peer, input.subspan(input.size() / 2));
  peer.reset();
  receiver.closed.get_future().wait();
  loop.call([&] { channel.reset(); });
}

}  // namespace
}  // namespace grainfabric::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  grainfabric::fuzz::feed({data, size});
  return 0;
}
