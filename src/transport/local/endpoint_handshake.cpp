// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.hpp"
#include "transport/local/endpoint.hpp"

/// How two LocalEndpoints find each other: the one that connects shows the token and gives the
/// queues, the other takes them and says one byte.
namespace grainfabric::transport::local {
namespace {

using Clock = std::chrono::steady_clock;

struct Hello {
  std::uint64_t magic = 0x314C434F4C4647;  // "GFLOCL1"
  std::array<std::byte, 16> token{};
};

/// Whom a socket leads to, for messages.
std::string process_behind(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "a local process";
  return "process " + std::to_string(peer.pid) + " of user " + std::to_string(peer.uid);
}

}  // namespace

LocalEndpoint::LocalEndpoint(std::shared_ptr<Device> device, const Token& token,
                             EndpointEvents& user)
    : device_(std::move(device)),
      user_(user),
      token_(token),
      name_(SocketName::random(device_->socket_directory)),
      address_(name_->to_wire()),
      listener_(name_->listen()) {}

LocalEndpoint::LocalEndpoint(std::shared_ptr<Device> device, const Address& peer,
                             const Token& token, EndpointEvents& user)
    : device_(std::move(device)), user_(user), token_(token) {
  const SocketName name = SocketName::of(peer, device_->socket_directory);
  greeting_ = QueueMemory::create();
  try {
    socket_ = name.connect();
    const Hello hello{.token = token_.bytes};
    if (!send_packet(socket_.get(), std::as_bytes(std::span(&hello, 1)), greeting_->fd())) {
      throw Error::from_errno(errno, "Cannot greet " + name.text() + " (local)");
    }
  } catch (const Error& error) {
    fail(error);  // told by progress(), like a connection that is refused
  }
  give_up_ = Clock::now() + kConnectTimeout;
}

void LocalEndpoint::open_queues(std::shared_ptr<QueueMemory> memory, std::size_t own_direction) {
  out_.emplace(memory, own_direction);
  in_.emplace(std::move(memory), 1 - own_direction);
}

bool LocalEndpoint::welcome_strangers() {
  bool done = false;
  // Others have their turn, however many come: the listener stays readable.
  for (std::size_t i = 0; i < kProgressBatch; ++i) {
    UniqueFd stranger(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!stranger) {
      // Out of descriptors: the listener stays readable, and the loop would spin.
      if (errno == EMFILE || errno == ENFILE) {
        throw Error::from_errno(errno, "Cannot accept at " + name_->text() + " (local)",
                                "Raise the limit on open files (ulimit -n).");
      }
      break;
    }
    done = true;
    if (strangers_.size() >= kMaxStrangers) strangers_.erase(strangers_.begin());
    strangers_.push_back(std::move(stranger));
  }
  for (auto stranger = strangers_.begin(); stranger != strangers_.end() && !socket_;) {
    if (admit(*stranger)) {
      if (!socket_) stranger = strangers_.erase(stranger);
      done = true;
    } else {
      ++stranger;
    }
  }
  if (!socket_) return done;
  strangers_.clear();
  listener_.reset();
  name_->remove();
  user_.on_connected();
  return true;
}

/// Whether it has said something: then it is the peer, whose socket is taken, or to be forgotten.
bool LocalEndpoint::admit(UniqueFd& stranger) {
  Hello hello;
  const Hello expected;
  auto packet = receive_packet(stranger.get(), std::as_writable_bytes(std::span(&hello, 1)));
  if (!packet) return false;
  if (packet->size == 0) return true;
  const bool knows = packet->size == sizeof hello && hello.magic == expected.magic &&
                     token_.matches(Token::from_bytes(hello.token));
  std::string why = "it does not know the token";
  if (knows) {
    try {
      open_queues(QueueMemory::open(std::move(packet->file)), 1);
      constexpr std::byte kWelcome{1};
      socket_ = std::move(stranger);
      static_cast<void>(send_packet(socket_.get(), {&kWelcome, 1}));
      return true;
    } catch (const Error& error) {
      why = error.what();
    }
  }
  log(LogLevel::warning, "local",
      "Turned away " + process_behind(stranger.get()) + " at " + name_->text() + ": " + why);
  return true;
}

/// Waits for the answer.
bool LocalEndpoint::greet() {
  std::byte answer{};
  const auto packet = receive_packet(socket_.get(), {&answer, 1});
  const auto now = Clock::now();
  deadline_.clear(now);
  if (!packet) {
    if (now < give_up_) return false;
    fail(Error(ErrorCode::timed_out, "The target does not answer on its Unix socket (local)",
               "Is its process alive? Try another provider."));
    return true;
  }
  if (packet->size == 0) {
    fail(Error(ErrorCode::refused, "The target turned this side away (local)",
               "It serves another initiator, or the token was not its own."));
    return true;
  }
  open_queues(std::move(greeting_), 0);
  user_.on_connected();
  return true;
}

}  // namespace grainfabric::transport::local
