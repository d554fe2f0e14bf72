// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace grainfabric::transport::local {

/// What travels in a queue: this, then `length` bytes of data, then padding to 8 bytes. Frames do
/// not wrap around the end of the queue: `skip` fills it up.
enum class Kind : std::uint8_t {
  skip = 0,
  write = 1,    ///< Data for `address` in the memory of `key`; `rest` bytes are left of the write.
  read = 2,     ///< Asks for `rest` bytes from there; `id` is for the answers.
  answer = 3,   ///< Data of a read; `rest` bytes are left of it.
  message = 4,  ///< send().
  share = 5,    ///< The file under `id` came over the socket before this.
  unshare = 6,
};

struct Frame {
  std::uint32_t size = 0;  ///< Of all of it.
  Kind kind = Kind::skip;
  std::uint8_t has_immediate = 0;  ///< On the last frame of a write.
  std::uint16_t reserved = 0;
  std::uint32_t immediate = 0;
  std::uint32_t length = 0;
  std::uint64_t address = 0;
  std::uint64_t key = 0;
  std::uint64_t rest = 0;  ///< Data of this frame included.
  std::uint64_t id = 0;
};
static_assert(sizeof(Frame) == 48 && std::is_trivially_copyable_v<Frame>);

constexpr std::size_t frame_size(std::size_t length) {
  return (sizeof(Frame) + length + 7) & ~std::size_t{7};
}

}  // namespace grainfabric::transport::local
