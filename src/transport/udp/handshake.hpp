// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "transport/udp/address.hpp"
#include "transport/udp/connection.hpp"

/// How two endpoints find each other, without a connection's state until both are sure:
///
///     initiator                                        target
///     HELLO (token, 1,200 bytes)          ->           wrong token: dropped
///                                         <-           CHALLENGE (cookie of the address, 40 bytes)
///     HELLO (token, cookie, 1,200 bytes)  ->           the address is the initiator's: accepted
///                                         <-           WELCOME (connection id)
///
/// The target answers a stranger's address with less than it got, and keeps nothing of it. A HELLO
/// that is lost, or its answer, is sent again.
namespace grainfabric::transport::udp {

/// Cookies of source addresses, under a key that lives as long as this.
class Cookies {
 public:
  using Cookie = std::array<std::byte, 16>;
  Cookies() : key_(Token::random()) {}
  [[nodiscard]] Cookie of(const SocketAddress& address, std::uint64_t connection) const;

 private:
  Token key_;
};

/// The target's side. One thread.
class Greeter {
 public:
  Greeter(const Token& token, std::size_t window) : token_(token), window_(window) {}

  struct Answer {
    std::array<std::byte, kChallengeSize> bytes;
    std::size_t size = 0;
  };
  /// What to send to `from` for this datagram, if anything.
  std::optional<Answer> on_datagram(const Packet& packet, const SocketAddress& from, Drops* drops);
  /// Who was accepted; set by on_datagram().
  struct Guest {
    SocketAddress address;
    Hello hello;
    std::uint64_t own_id = 0;
  };
  [[nodiscard]] const std::optional<Guest>& guest() const noexcept { return guest_; }

 private:
  [[nodiscard]] Answer welcome() const noexcept;

  Token token_;
  std::size_t window_;
  Cookies cookies_;
  std::optional<Guest> guest_;
};

/// The initiator's side: which HELLO to send when. One thread.
class Caller {
 public:
  Caller(const Token& token, std::size_t window, TimePoint now);

  [[nodiscard]] const Hello& hello() const noexcept { return hello_; }
  [[nodiscard]] TimePoint next_hello() const noexcept { return next_; }
  void on_hello_sent(TimePoint now) noexcept;
  /// The target's WELCOME, if it is one; a CHALLENGE makes a HELLO due at once.
  std::optional<Welcome> on_datagram(const Packet& packet, Drops* drops, TimePoint now);
  /// From the last HELLO to its answer; none where it cannot be known which HELLO was answered.
  [[nodiscard]] std::optional<Clock::duration> round_trip() const noexcept { return round_trip_; }

 private:
  Hello hello_;
  TimePoint next_;
  TimePoint sent_{};
  Clock::duration pause_ = kFirstRetry;
  int unanswered_ = 0;
  std::optional<Clock::duration> round_trip_;
};

}  // namespace grainfabric::transport::udp
