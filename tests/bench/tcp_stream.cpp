// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <string>

#include "raw.hpp"

/// A plain TCP stream of grains from a ring in memory to a ring in memory: what any transport of
/// ours is compared with.
///
///     tcp_stream server ADDRESS GRAIN CALL    prints the port it listens on, serves one client
///     tcp_stream client ADDRESS PORT GRAIN CALL SECONDS    prints the result as JSON
///
/// GRAIN: bytes; the rings have room for eight. CALL: bytes of one send() or recv().
namespace {

using bench::address_of, bench::cpu_seconds, bench::fail, bench::kSlots, bench::make_ring;

int make_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  return fd;
}

/// Goes round in the ring, `call` bytes at a time, until `step` (send or recv) says that it ends.
template <typename Step>
double go_round(std::span<std::byte> ring, std::size_t call, const Step& step) {
  double total = 0;
  for (std::size_t at = 0;;) {
    const ssize_t done = step(ring.subspan(at, std::min(call, ring.size() - at)));
    if (done <= 0) return total;
    total += static_cast<double>(done);
    at = (at + static_cast<std::size_t>(done)) % ring.size();
  }
}

void serve(const char* address, std::size_t grain, std::size_t call) {
  const auto ring = make_ring(kSlots * grain);  // before the client's clock runs
  const int listener = make_socket();
  sockaddr_in own = address_of(address, 0);
  socklen_t size = sizeof own;
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&own), size) != 0) fail("bind");
  if (::listen(listener, 1) != 0) fail("listen");
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&own), &size) != 0) fail("getsockname");
  std::printf("%u\n", ntohs(own.sin_port));
  std::fflush(stdout);
  const int fd = ::accept(listener, nullptr, nullptr);
  if (fd < 0) fail("accept");
  const double begun = cpu_seconds();
  go_round(ring, call,
           [fd](std::span<std::byte> to) { return ::recv(fd, to.data(), to.size(), 0); });
  const double used = cpu_seconds() - begun;
  if (::send(fd, &used, sizeof used, 0) != sizeof used) fail("send");
}

void send_to(const char* address, std::uint16_t port, std::size_t grain, std::size_t call,
             double seconds) {
  const int fd = make_socket();
  const sockaddr_in to = address_of(address, port);
  const auto ring = make_ring(kSlots * grain);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  const double begun_cpu = cpu_seconds();
  const auto since = [begun] {
    return std::chrono::duration<double>(Clock::now() - begun).count();
  };
  const double bytes = go_round(ring, call, [&](std::span<std::byte> from) -> ssize_t {
    return since() < seconds ? ::send(fd, from.data(), from.size(), 0) : 0;
  });
  const double used = cpu_seconds() - begun_cpu;
  if (::shutdown(fd, SHUT_WR) != 0) fail("shutdown");
  double there = 0;
  if (::recv(fd, &there, sizeof there, MSG_WAITALL) != sizeof there) fail("recv");
  const double all = since();  // with what was still on its way
  std::printf(
      "{\"gigabytes-per-second\": %.4f, \"cpu-seconds-per-gigabyte\": "
      "{\"client\": %.4f, \"server\": %.4f}}\n",
      bytes / all / 1e9, used / (bytes / 1e9), there / (bytes / 1e9));
}

}  // namespace

int main(int count, char** words) try {
  const std::string role = count > 1 ? words[1] : "";
  if (role == "server" && count == 5) {
    serve(words[2], std::stoul(words[3]), std::stoul(words[4]));
  } else if (role == "client" && count == 7) {
    send_to(words[2], static_cast<std::uint16_t>(std::stoul(words[3])), std::stoul(words[4]),
            std::stoul(words[5]), std::stod(words[6]));
  } else {
    std::fputs(
        "usage: tcp_stream server ADDRESS GRAIN CALL | client ADDRESS PORT GRAIN CALL SECONDS\n",
        stderr);
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "tcp_stream: %s\n", error.what());
  return 1;
}
