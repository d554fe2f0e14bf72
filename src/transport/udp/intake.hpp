// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <span>
#include <vector>

#include "transport/udp/inbox.hpp"

namespace grainfabric::transport::udp {

/// Receives datagrams, several with one system call. Where it is known what will come (a Forecast),
/// headers go into a buffer and payloads straight into their places; a datagram that is another
/// than forecast is brought together in a staging buffer, and so are all behind it, before any of
/// them is looked at. What its payload overwrote was to be written anyway, since it is in the range
/// of a write that has not landed. Others go into a staging buffer, where the kernel may have put
/// many together (UDP_GRO). Shared by the endpoints of a Domain, one at a time.
class Intake {
 public:
  Intake();

  /// One datagram. In place: `bytes` is its header, and its payload lies where it belongs.
  struct Arrival {
    std::span<const std::byte> bytes;
    std::span<const std::byte> in_place;
  };

  enum class Outcome { some, none, refused, failed };
  /// Receives what is there, at most one batch; then next() gives one datagram after the other.
  Outcome receive(int socket, const Inbox::Forecast* forecast, std::uint64_t connection) noexcept;
  bool next(Arrival* arrival) noexcept;
  /// Header of the next datagram without taking it, and its size; 0 if there is none.
  static std::size_t peek(int socket, std::span<std::byte, kDataHeaderSize> header) noexcept;
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  /// What one message may be: a datagram, or many that GRO has put together, up to 64 KiB.
  static constexpr std::size_t kSlot = 65'536 + kDataHeaderSize;

  struct Slot {
    std::span<std::byte> place;  // of the payload; empty: all goes into staging
    std::uint64_t position = 0;
    std::size_t size = 0;
    std::size_t segment = 0;  // of the datagrams in it
    bool in_place = false;
  };

  void prepare(const Inbox::Forecast* forecast) noexcept;
  [[nodiscard]] bool is_as_forecast(std::size_t index, const Inbox::Forecast& forecast,
                                    std::uint64_t connection) const noexcept;
  void bring_together(std::size_t index) noexcept;
  [[nodiscard]] std::size_t segment_of(std::size_t index) noexcept;
  [[nodiscard]] std::span<std::byte> staging(std::size_t index) noexcept {
    return std::span(staging_).subspan(index * kSlot, kSlot);
  }

  std::vector<std::byte> staging_;
  std::array<std::array<std::byte, kDataHeaderSize>, kReceiveBatch> headers_;
  std::array<std::array<iovec, 3>, kReceiveBatch> parts_;
  std::array<mmsghdr, kReceiveBatch> vector_{};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(int))> bytes;
  };
  std::array<Control, kReceiveBatch> controls_{};
  std::array<Slot, kReceiveBatch> slots_;
  std::size_t wanted_ = 0;
  std::size_t count_ = 0;
  std::size_t next_ = 0;
  std::size_t offset_ = 0;  // in slot next_
  int error_ = 0;
};

}  // namespace grainfabric::transport::udp
