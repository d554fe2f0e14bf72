// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/export.hpp"

namespace grainfabric {

/// 128 random bits from the kernel: tokens of data connections, identities of processes and
/// streams. Values of one process never repeat in practice and cannot be guessed by a peer.
struct Token {
  std::array<std::byte, 16> bytes{};

  /// Fresh random bits (getrandom). Throws Error if the kernel has none.
  GRAINFABRIC_API static Token random();
  /// From 16 bytes of a peer; a token of zeros if the length differs (it never matches).
  GRAINFABRIC_API static Token from_bytes(std::span<const std::byte> raw);

  /// Compares in constant time, so that a peer learns nothing from how long a refusal takes.
  /// The token of zeros equals nothing.
  [[nodiscard]] GRAINFABRIC_API bool matches(const Token& other) const noexcept;
  /// 32 hexadecimal digits.
  [[nodiscard]] GRAINFABRIC_API std::string hex() const;

  friend bool operator==(const Token&, const Token&) = default;
};

/// A random 64-bit number from the kernel, never 0: memory keys.
GRAINFABRIC_API std::uint64_t random_u64();

}  // namespace grainfabric
