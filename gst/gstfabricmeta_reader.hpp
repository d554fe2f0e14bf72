// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "gstfabricmeta_wire.hpp"

namespace fabric::wire {

/// The rest of a body, read from the front.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_{bytes} {}
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

  template <typename T>
  bool read(T& to) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    if (bytes_.size() < sizeof to) return false;
    std::memcpy(&to, bytes_.data(), sizeof to);
    bytes_ = bytes_.subspan(sizeof to);
    return true;
  }
  std::optional<std::span<const std::byte>> take(std::size_t size) noexcept {
    if (bytes_.size() < size) return std::nullopt;
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  /// Text of that length, NUL-free ASCII.
  std::optional<std::string> text(std::size_t size) {
    const auto bytes = take(size);
    if (!bytes) return std::nullopt;
    std::string text{reinterpret_cast<const char*>(bytes->data()), bytes->size()};
    const bool good =
        std::all_of(text.begin(), text.end(), [](char c) { return g_ascii_isgraph(c); });
    return good ? std::optional{text} : std::nullopt;
  }

 private:
  std::span<const std::byte> bytes_;
};

template <std::size_t N>
bool is_terminated(const Name<N>& name) {
  return std::find(name.begin(), name.end(), '\0') != name.end();
}

/// Each adds one meta to the buffer, whose memory is in place, from the body of its record; false
/// when that makes no sense. What a peer says is checked against the buffer's size, too.
bool read_video(GstBuffer* buffer, Reader reader);
bool read_audio(GstBuffer* buffer, Reader reader);
bool read_custom(GstBuffer* buffer, Reader reader);

}  // namespace fabric::wire
