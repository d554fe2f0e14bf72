// SPDX-License-Identifier: Apache-2.0
#include "base/token.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"

namespace grainfabric {
namespace {

void fill_random(void* data, std::size_t size) {
  auto* cursor = static_cast<std::byte*>(data);
  while (size > 0) {
    const ssize_t got = ::getrandom(cursor, size, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw Error::from_errno(errno, "Cannot get random bytes from the kernel");
    }
    cursor += got;
    size -= static_cast<std::size_t>(got);
  }
}

}  // namespace

Token Token::random() {
  Token token;
  fill_random(token.bytes.data(), token.bytes.size());
  return token;
}

Token Token::from_bytes(std::span<const std::byte> raw) {
  Token token;
  if (raw.size() == token.bytes.size()) std::copy(raw.begin(), raw.end(), token.bytes.begin());
  return token;
}

bool Token::matches(const Token& other) const noexcept {
  std::byte difference{};
  std::byte any{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    difference |= bytes[i] ^ other.bytes[i];
    any |= bytes[i];
  }
  return difference == std::byte{} && any != std::byte{};
}

std::string Token::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text += kDigits[std::to_integer<unsigned>(b) >> 4U];
    text += kDigits[std::to_integer<unsigned>(b) & 15U];
  }
  return text;
}

std::uint64_t random_u64() {
  std::uint64_t value = 0;
  while (value == 0) fill_random(&value, sizeof value);
  return value;
}

}  // namespace grainfabric
