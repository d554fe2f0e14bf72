// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/handshake.hpp"

#include <glib.h>

#include <algorithm>
#include <cstring>

namespace grainfabric::transport::udp {

Cookies::Cookie Cookies::of(const SocketAddress& address, std::uint64_t connection) const {
  const std::unique_ptr<GHmac, decltype(&g_hmac_unref)> hmac(
      g_hmac_new(G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(key_.bytes.data()),
                 key_.bytes.size()),
      &g_hmac_unref);
  const auto add = [&](const auto& value) {
    g_hmac_update(hmac.get(), reinterpret_cast<const guchar*>(&value), sizeof value);
  };
  if (address.family() == AF_INET) {
    add(address.v4.sin_addr);
    add(address.v4.sin_port);
  } else {
    add(address.v6.sin6_addr);
    add(address.v6.sin6_port);
  }
  add(connection);
  std::array<guint8, 32> digest;
  gsize size = digest.size();
  g_hmac_get_digest(hmac.get(), digest.data(), &size);
  Cookie cookie;
  std::memcpy(cookie.data(), digest.data(), cookie.size());
  return cookie;
}

std::optional<Greeter::Answer> Greeter::on_datagram(const Packet& packet, const SocketAddress& from,
                                                    Drops* drops) {
  const auto* hello = std::get_if<Hello>(&packet);
  if (hello == nullptr) {
    ++(std::holds_alternative<std::monostate>(packet) ? drops->malformed : drops->foreign);
    return std::nullopt;
  }
  if (!token_.matches(hello->token)) {
    ++drops->wrong_token;
    return std::nullopt;
  }
  if (guest_) {
    if (guest_->hello.connection == hello->connection && guest_->address.same_as(from)) {
      return welcome();  // ours was lost
    }
    ++drops->foreign;
    return std::nullopt;
  }
  const Token proof{cookies_.of(from, hello->connection)};
  if (proof.matches(Token{hello->cookie})) {
    guest_ = {from, *hello, random_u64()};
    return welcome();
  }
  Answer answer;
  answer.size = write(Challenge{hello->connection, proof.bytes}, answer.bytes);
  return answer;
}

Greeter::Answer Greeter::welcome() const noexcept {
  Answer answer;
  answer.size =
      write(Welcome{guest_->hello.connection, guest_->own_id,
                    static_cast<std::uint32_t>(std::min<std::size_t>(window_, UINT32_MAX))},
            answer.bytes);
  return answer;
}

Caller::Caller(const Token& token, std::size_t window, TimePoint now) : next_(now) {
  hello_.connection = random_u64();
  hello_.token = token;
  hello_.window = static_cast<std::uint32_t>(std::min<std::size_t>(window, UINT32_MAX));
}

void Caller::on_hello_sent(TimePoint now) noexcept {
  sent_ = now;
  next_ = now + pause_;
  pause_ = std::min<Clock::duration>(2 * pause_, kLongestRetry);
  ++unanswered_;
}

std::optional<Welcome> Caller::on_datagram(const Packet& packet, Drops* drops, TimePoint now) {
  if (const auto* challenge = std::get_if<Challenge>(&packet);
      challenge != nullptr && challenge->connection == hello_.connection) {
    if (challenge->cookie != hello_.cookie) {
      hello_.cookie = challenge->cookie;
      next_ = now;
      pause_ = kFirstRetry;
      unanswered_ = 0;
    }
    return std::nullopt;
  }
  if (const auto* welcome = std::get_if<Welcome>(&packet);
      welcome != nullptr && welcome->connection == hello_.connection) {
    if (unanswered_ == 1) round_trip_ = now - sent_;
    return *welcome;
  }
  // Data may overtake the WELCOME; it comes again.
  ++(std::holds_alternative<std::monostate>(packet) ? drops->malformed : drops->foreign);
  return std::nullopt;
}

}  // namespace grainfabric::transport::udp
