// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "transport/transport.hpp"

namespace grainfabric::test {

/// What a bad network does to datagrams. Chances in percent.
struct Weather {
  const char* name = "";
  int loss = 0;
  int duplication = 0;
  int longest_delay_ms = 0;      ///< 0 to this, each datagram its own: reorders.
  std::size_t longest = 65'507;  ///< Longer ones vanish without a word.
  unsigned seed = 1;
};

/// A thread between two udp endpoints on 127.0.0.1 that treats what passes as the weather has it.
class UdpRelay {
 public:
  /// Relays to what `target` (an address of the udp transport) says.
  UdpRelay(const transport::Address& target, const Weather& weather)
      : weather_(weather), chance_(weather.seed), front_(open_socket()), back_(open_socket()) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    std::memcpy(&to.sin_port, &target.bytes.at(2), 2);
    std::memcpy(&to.sin_addr, &target.bytes.at(4), 4);
    target_ = to;
    longest_ = weather.longest;
    thread_ = std::thread([this] { run(); });
  }
  ~UdpRelay() {
    stop_ = true;
    thread_.join();
  }
  UdpRelay(const UdpRelay&) = delete;

  /// Where to connect() instead.
  [[nodiscard]] transport::Address address() const {
    sockaddr_in own{};
    socklen_t size = sizeof own;
    ::getsockname(front_.get(), reinterpret_cast<sockaddr*>(&own), &size);
    transport::Address wire{"UDP", std::vector<std::byte>(8)};
    wire.bytes[0] = std::byte{4};
    std::memcpy(&wire.bytes[2], &own.sin_port, 2);
    std::memcpy(&wire.bytes[4], &own.sin_addr, 4);
    return wire;
  }
  /// From now on nothing longer passes.
  void shrink(std::size_t longest) { longest_ = longest; }
  /// From now on nothing passes.
  void cut() { longest_ = 0; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Datagram {
    Clock::time_point due;
    std::uint64_t order;
    bool to_target;
    std::vector<char> bytes;
    bool operator<(const Datagram& other) const {
      return std::pair(due, order) > std::pair(other.due, other.order);
    }
  };

  static UniqueFd open_socket() {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) std::abort();
    const int size = 8 << 20;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
  }

  bool happens(int percent) { return static_cast<int>(chance_() % 100) < percent; }

  void take(int fd, bool to_target) {
    std::vector<char> buffer(65'536);
    for (;;) {
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const ssize_t length = ::recvfrom(fd, buffer.data(), buffer.size(), 0,
                                        reinterpret_cast<sockaddr*>(&from), &size);
      if (length < 0) return;
      if (to_target) initiator_ = from;
      if (happens(weather_.loss) || static_cast<std::size_t>(length) > longest_) {
        ++lost_;
        continue;
      }
      for (int copies = happens(weather_.duplication) ? 2 : 1; copies > 0; --copies) {
        const auto delay = weather_.longest_delay_ms == 0
                               ? std::chrono::milliseconds(0)
                               : std::chrono::milliseconds(
                                     chance_() % static_cast<unsigned>(weather_.longest_delay_ms));
        queue_.push({Clock::now() + delay, order_++, to_target,
                     std::vector<char>(buffer.begin(), buffer.begin() + length)});
      }
    }
  }

  void pass_on() {
    while (!queue_.empty() && queue_.top().due <= Clock::now()) {
      const Datagram& next = queue_.top();
      const sockaddr_in& to = next.to_target ? target_ : initiator_;
      ::sendto(next.to_target ? back_.get() : front_.get(), next.bytes.data(), next.bytes.size(), 0,
               reinterpret_cast<const sockaddr*>(&to), sizeof to);
      queue_.pop();
    }
  }

  void run() {
    while (!stop_) {
      pollfd both[] = {{front_.get(), POLLIN, 0}, {back_.get(), POLLIN, 0}};
      ::poll(both, 2, queue_.empty() ? 10 : 1);
      take(front_.get(), true);
      take(back_.get(), false);
      pass_on();
    }
  }

  const Weather weather_;
  std::mt19937 chance_;
  UniqueFd front_;  // faces the initiator
  UniqueFd back_;
  sockaddr_in target_{};
  sockaddr_in initiator_{};
  std::priority_queue<Datagram> queue_;
  std::uint64_t order_ = 0;
  std::atomic<std::size_t> longest_{0};
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace grainfabric::test
