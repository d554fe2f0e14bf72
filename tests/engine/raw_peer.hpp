// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "base/fd.hpp"
#include "base/glib_ptr.hpp"
#include "message/frame.hpp"
#include "patience.hpp"

namespace grainfabric::test {

inline std::vector<std::byte> frame(std::uint16_t type, std::span<const std::byte> body) {
  const auto header = encode_frame_header({type, static_cast<std::uint32_t>(body.size())});
  std::vector<std::byte> bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

inline std::vector<std::byte> frame(std::uint16_t type, GVariant* fields) {
  const GlibPtr<GVariant> normal(g_variant_get_normal_form(fields));
  return frame(type, std::span(static_cast<const std::byte*>(g_variant_get_data(normal.get())),
                               g_variant_get_size(normal.get())));
}

inline std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// One end of a stream connection that says whatever a test wants to say.
class RawPeer {
 public:
  struct Message {
    std::uint16_t type;
    GlibPtr<GVariant> fields;
  };

  explicit RawPeer(UniqueFd fd) : fd_(std::move(fd)) {}
  /// Connects to a port of this host.
  explicit RawPeer(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
    }
  }

  /// Returns false when the other end is gone.
  bool say(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool say(std::uint16_t type, const GlibPtr<GVariant>& fields) {
    return say(frame(type, fields.get()));
  }

  /// The next message; nothing when the other end closes or the time is over.
  std::optional<Message> hear(std::chrono::milliseconds limit = kPatience) {
    std::array<std::byte, kFrameHeaderSize> raw;
    if (!read_all(raw, limit)) return std::nullopt;
    const auto header = decode_frame_header(raw);
    if (!header) throw std::runtime_error("the other end sent no frame");
    std::vector<std::byte> body(header->length);
    if (!read_all(body, limit)) return std::nullopt;
    const GlibPtr<GBytes> bytes(g_bytes_new(body.data(), body.size()));
    return Message{header->type, GlibPtr<GVariant>(g_variant_ref_sink(g_variant_new_from_bytes(
                                     G_VARIANT_TYPE_VARDICT, bytes.get(), FALSE)))};
  }
  /// The next message of that type; others are skipped.
  std::optional<Message> hear_type(std::uint16_t type) {
    while (auto message = hear()) {
      if (message->type == type) return message;
    }
    return std::nullopt;
  }
  /// Whether the other end closes within the time, whatever it says before.
  bool is_closed(std::chrono::milliseconds limit = kPatience) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::byte rest[4096];
    while (std::chrono::steady_clock::now() < deadline) {
      pollfd polled{fd_.get(), POLLIN, 0};
      if (::poll(&polled, 1, 10) == 1 && ::recv(fd_.get(), rest, sizeof rest, 0) <= 0) return true;
    }
    return false;
  }
  void hang_up() { fd_.reset(); }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  bool read_all(std::span<std::byte> where, std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!where.empty()) {
      pollfd polled{fd_.get(), POLLIN, 0};
      if (::poll(&polled, 1, 10) == 1) {
        const ssize_t got = ::recv(fd_.get(), where.data(), where.size(), 0);
        if (got <= 0) return false;
        where = where.subspan(static_cast<std::size_t>(got));
      } else if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
    }
    return true;
  }

  UniqueFd fd_;
};

/// Listens on a free port of this host.
class RawListener {
 public:
  RawListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const int yes = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(fd_.get(), 16) != 0 ||
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error(std::string("listen: ") + std::strerror(errno));
    }
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  std::optional<RawPeer> accept(std::chrono::milliseconds limit = kPatience) {
    pollfd polled{fd_.get(), POLLIN, 0};
    if (::poll(&polled, 1, static_cast<int>(limit.count())) != 1) return std::nullopt;
    return RawPeer(UniqueFd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }

 private:
  UniqueFd fd_;
  std::uint16_t port_ = 0;
};

}  // namespace grainfabric::test
