// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "raw.hpp"

/// Plain UDP datagrams from a ring of grains in memory to a ring in memory, in the form that the
/// udp transport gives them (64 bytes of header, the longest payload that the interface takes, in
/// groups by GSO and GRO), with a window so that none overflows the receiver, and nothing else: not
/// looked at, not put in order, not sent again. What udp is behind it is what its protocol costs.
///
///     datagrams server ADDRESS GRAIN    prints its port, serves one client
///     datagrams client ADDRESS PORT GRAIN SECONDS    prints the result as JSON
///
/// GRAIN: bytes; the rings have room for eight.
namespace {

using bench::address_of, bench::cpu_seconds, bench::fail, bench::kSlots;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kHeader = 64;
constexpr std::size_t kLine = 64;
constexpr std::size_t kMost = 65'507;       // bytes of a datagram, and of a group
constexpr std::size_t kMostInGroup = 60;    // as the transport; the kernel's limit is 64
constexpr std::size_t kBatch = 8;           // messages in one call
constexpr std::size_t kWindow = 1U << 20U;  // as the transport's where the round trip is short
constexpr int kPatienceMs = 100;  // without a word of the receiver: what is missing is lost
constexpr int kTries = 20;

/// What the sender asks, by the length of a datagram: data are longer. Asked again until answered.
constexpr std::size_t kBegin = 1;
constexpr std::size_t kEnd = 2;

/// What the receiver says: so much has come, and at the end what it cost.
struct Word {
  std::uint64_t bytes = 0;
  double cpu = 0;
};

/// Grains in memory, taken as one ring; a copy is another place in the same memory.
class Ring {
 public:
  explicit Ring(std::size_t grain) : bytes_(bench::make_ring(kSlots * grain)) {}
  iovec next(std::size_t size) {
    if (at_ + size > bytes_.size()) at_ = 0;
    const iovec piece{&bytes_[at_], size};
    at_ += size;
    return piece;
  }

 private:
  std::span<std::byte> bytes_;
  std::size_t at_ = 0;
};

class Socket {
 public:
  Socket() : fd_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    if (fd_ < 0) fail("socket");
    constexpr int kBuffer = 8 << 20;
    if (!set(SOL_SOCKET, SO_RCVBUFFORCE, kBuffer)) set(SOL_SOCKET, SO_RCVBUF, kBuffer);
    if (!set(SOL_SOCKET, SO_SNDBUFFORCE, kBuffer)) set(SOL_SOCKET, SO_SNDBUF, kBuffer);
    set(SOL_UDP, UDP_GRO, 1);
  }
  bool set(int level, int option, int value) {
    return ::setsockopt(fd_, level, option, &value, sizeof value) == 0;
  }
  [[nodiscard]] int get(int level, int option) const {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(fd_, level, option, &value, &size) != 0) fail("getsockopt");
    return value;
  }
  void connect(const sockaddr_in& to) {
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
  }
  [[nodiscard]] bool readable(int patience_ms) const {
    pollfd waiting{fd_, POLLIN, 0};
    return ::poll(&waiting, 1, patience_ms) == 1;
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

/// Datagrams for the path of a connected socket, `group` in one message.
struct Form {
  std::size_t payload = 0;
  std::size_t group = 1;

  explicit Form(const Socket& socket) {
    constexpr std::size_t kIpAndUdp = 28;
    const auto mtu = static_cast<std::size_t>(socket.get(IPPROTO_IP, IP_MTU));
    const std::size_t datagram = std::min(mtu - kIpAndUdp, kMost) / kLine * kLine;
    payload = datagram - kHeader;
    group = std::clamp<std::size_t>(kMost / datagram, 1, kMostInGroup);
  }
};

/// Messages that send or receive groups of datagrams between a ring and their headers.
class Batch {
 public:
  explicit Batch(Form form)
      : form_(form),
        headers_(kBatch * form.group * kHeader),
        parts_(kBatch * form.group * 2),
        messages_(kBatch),
        controls_(kBatch) {
    for (std::size_t i = 0; i < parts_.size() / 2; ++i) {
      parts_[2 * i] = {&headers_[i * kHeader], kHeader};
    }
    for (std::size_t i = 0; i < kBatch; ++i) {
      msghdr& header = messages_[i].msg_hdr;
      header.msg_iov = &parts_[i * form.group * 2];
      header.msg_iovlen = form.group * 2;
    }
  }
  [[nodiscard]] std::size_t group_bytes() const { return form_.group * form_.payload; }
  void cut_into_segments() {
    if (form_.group == 1) return;
    for (std::size_t i = 0; i < kBatch; ++i) {
      msghdr& header = messages_[i].msg_hdr;
      header.msg_control = controls_[i].bytes.data();
      header.msg_controllen = controls_[i].bytes.size();
      cmsghdr* control = CMSG_FIRSTHDR(&header);
      control->cmsg_level = SOL_UDP;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
      const auto segment = static_cast<std::uint16_t>(kHeader + form_.payload);
      std::memcpy(CMSG_DATA(control), &segment, sizeof segment);
    }
  }
  /// `count` messages over the next places of the ring, which it is moved on by take().
  std::span<mmsghdr> over(Ring ring, std::size_t count) {
    for (std::size_t i = 0; i < count * form_.group; ++i) {
      parts_[2 * i + 1] = ring.next(form_.payload);
    }
    return std::span(messages_).first(count);
  }
  void take(Ring* ring, std::size_t count) const {
    for (std::size_t i = 0; i < count * form_.group; ++i) ring->next(form_.payload);
  }

 private:
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))> bytes;
  };
  Form form_;
  std::vector<std::byte> headers_;
  std::vector<iovec> parts_;
  std::vector<mmsghdr> messages_;
  std::vector<Control> controls_;
};

void serve(const char* address, std::size_t grain) {
  Ring ring(grain);
  Socket socket;
  sockaddr_in own = address_of(address, 0);
  socklen_t size = sizeof own;
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&own), size) != 0) fail("bind");
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    fail("getsockname");
  }
  std::printf("%u\n", ntohs(own.sin_port));
  std::fflush(stdout);
  sockaddr_in client{};
  if (::recvfrom(socket.fd(), nullptr, 0, 0, reinterpret_cast<sockaddr*>(&client), &size) < 0) {
    fail("recvfrom");
  }
  socket.connect(client);
  Word word;
  if (::send(socket.fd(), &word, sizeof word, 0) != sizeof word) fail("send");
  Batch batch{Form(socket)};
  std::uint64_t said = 0;
  const double begun = cpu_seconds();
  for (bool ends = false; !ends;) {
    const auto messages = batch.over(ring, kBatch);
    const int came = ::recvmmsg(socket.fd(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (came < 0) {
      if (errno != EAGAIN) fail("recvmmsg");
      if (!socket.readable(kTries * kPatienceMs)) return;  // the client is gone
      continue;
    }
    batch.take(&ring, static_cast<std::size_t>(came));
    for (const mmsghdr& message : messages.first(static_cast<std::size_t>(came))) {
      ends = ends || message.msg_len == kEnd;
      if (message.msg_len > kEnd) word.bytes += message.msg_len;
    }
    if (word.bytes - said >= kWindow / 4) {
      said = word.bytes;
      if (::send(socket.fd(), &word, sizeof word, 0) != sizeof word) fail("send");
    }
  }
  word.cpu = cpu_seconds() - begun;
  if (::send(socket.fd(), &word, sizeof word, 0) != sizeof word) fail("send");
}

/// An error of the socket stands before what has come: a server that has answered and is gone lets
/// the next question be refused, and recv() say so first.
bool hear(const Socket& socket, Word* word) {
  const auto said = [&] { return ::recv(socket.fd(), word, sizeof *word, MSG_DONTWAIT); };
  ssize_t size = said();
  if (size < 0 && errno == ECONNREFUSED) size = said();
  return size == sizeof *word;
}

/// Words of before the question may still be on their way: the answer to kEnd has a cost.
Word ask(const Socket& socket, std::size_t what) {
  constexpr std::array<std::byte, kEnd> kNothing{};
  Word word;
  for (int i = 0; i < kTries; ++i) {
    if (::send(socket.fd(), kNothing.data(), what, 0) < 0 && errno != ECONNREFUSED) fail("send");
    while (socket.readable(kPatienceMs) && hear(socket, &word)) {
      if (what == kBegin || word.cpu > 0) return word;
    }
  }
  errno = ETIMEDOUT;
  fail("the server");
}

void send_to(const char* address, std::uint16_t port, std::size_t grain, double seconds) {
  Ring ring(grain);
  Socket socket;
  socket.connect(address_of(address, port));
  ask(socket, kBegin);
  const Form form(socket);
  Batch batch(form);
  batch.cut_into_segments();
  const std::size_t message = form.group * (kHeader + form.payload);
  std::uint64_t sent = 0;
  std::uint64_t arrived = 0;
  std::uint64_t lost = 0;
  Word word;
  const auto begun = Clock::now();
  const double begun_cpu = cpu_seconds();
  const auto since = [begun] {
    return std::chrono::duration<double>(Clock::now() - begun).count();
  };
  while (since() < seconds) {
    while (hear(socket, &word)) arrived = word.bytes;
    const std::uint64_t in_flight = sent - arrived - lost;
    const std::size_t fits = std::min(kBatch, (kWindow - std::min(kWindow, in_flight)) / message);
    if (fits == 0) {
      if (!socket.readable(kPatienceMs)) lost = sent - arrived;
      continue;
    }
    const int done =
        ::sendmmsg(socket.fd(), batch.over(ring, fits).data(), static_cast<unsigned>(fits), 0);
    if (done < 0) fail("sendmmsg");
    batch.take(&ring, static_cast<std::size_t>(done));
    sent += static_cast<std::uint64_t>(done) * message;
  }
  const double used = cpu_seconds() - begun_cpu;
  word = ask(socket, kEnd);
  const double all = since();
  const double gigabytes = static_cast<double>(word.bytes) / static_cast<double>(message) *
                           static_cast<double>(batch.group_bytes()) / 1e9;
  std::printf(
      "{\"gigabytes-per-second\": %.4f, \"cpu-seconds-per-gigabyte\": "
      "{\"client\": %.4f, \"server\": %.4f}, \"lost-bytes\": %llu}\n",
      gigabytes / all, used / gigabytes, word.cpu / gigabytes,
      static_cast<unsigned long long>(sent - word.bytes));
}

}  // namespace

int main(int count, char** words) try {
  const std::string role = count > 1 ? words[1] : "";
  if (role == "server" && count == 4) {
    serve(words[2], std::stoul(words[3]));
  } else if (role == "client" && count == 6) {
    send_to(words[2], static_cast<std::uint16_t>(std::stoul(words[3])), std::stoul(words[4]),
            std::stod(words[5]));
  } else {
    std::fputs("usage: datagrams server ADDRESS GRAIN | client ADDRESS PORT GRAIN SECONDS\n",
               stderr);
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "datagrams: %s\n", error.what());
  return 1;
}
