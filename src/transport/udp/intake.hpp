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
/// of a write that has not landed.
///
/// Where the kernel puts datagrams together (UDP_GRO) one message holds many, up to 64 KiB, and is
/// taken apart by the very read: header, payload, header, payload. Shared by the endpoints of a
/// Domain, one at a time.
class Intake {
 public:
  Intake();

  /// One datagram. With `in_place`, `bytes` is its header, and its payload lies where it belongs.
  struct Arrival {
    std::span<const std::byte> bytes;
    std::span<const std::byte> in_place;
  };

  /// refused: nobody has the peer's port, says its host; icmp: another ICMP message says something
  /// of the path.
  enum class Outcome { some, none, refused, icmp, failed };
  /// Receives what is there, at most one batch; then next() gives one datagram after the other.
  Outcome receive(int socket, const Inbox::Forecast* forecast, std::uint64_t connection) noexcept;
  bool next(Arrival* arrival) noexcept;
  /// All datagrams of the next message as one, where they lie in place one behind the other and
  /// have packet numbers that follow each other; else null. skip_together() goes on behind them.
  [[nodiscard]] const Data* together() const noexcept;
  void skip_together() noexcept { ++next_; }
  /// Header of the next datagram without taking it, and its size, of a group that of its first.
  Outcome peek(int socket, std::span<std::byte, kDataHeaderSize> header,
               std::size_t* size) noexcept;
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  /// What one message may be: a datagram, or many that GRO has put together.
  static constexpr std::size_t kSlot = 65'536 + kDataHeaderSize;
  static constexpr std::size_t kMaxGroup = 64;  // datagrams in it; UDP_GRO_CNT_MAX of Linux

  /// The datagrams that one message is forecast to hold; their headers stand one after the other.
  struct Slot {
    std::byte* place = nullptr;  // of the first payload; the others follow it
    std::uint64_t position = 0;  // in the stream, likewise
    std::size_t chunk = 0;       // payload of each
    std::size_t first_header = 0;
    std::size_t forecast = 0;  // number of them; 0: all goes into staging
    std::size_t first_part = 0;
    std::size_t part_count = 0;
    std::size_t size = 0;     // of the message that came
    std::size_t segment = 0;  // of each datagram in it but the last
    bool in_place = false;
    Data together;  // with in_place, and more than one datagram: see together()
  };
  /// Single datagrams in a row after which groups are not expected any more: ends of runs and ACKs
  /// come alone also where the kernel groups.
  static constexpr std::size_t kAloneToUngroup = 64;
  struct alignas(kDataHeaderSize) Header {
    std::array<std::byte, kDataHeaderSize> bytes;
  };

  Outcome on_error(int error) noexcept;
  [[nodiscard]] bool grouped() const noexcept { return alone_ < kAloneToUngroup; }
  void prepare(const Inbox::Forecast* forecast) noexcept;
  void add_slot(const Inbox::Forecast* forecast, std::size_t* ahead) noexcept;
  bool is_as_forecast(Slot* slot, const Inbox::Forecast& forecast,
                      std::uint64_t connection) const noexcept;
  void bring_together(std::size_t index) noexcept;
  [[nodiscard]] std::span<std::byte> staging(std::size_t index) noexcept {
    return std::span(staging_).subspan(index * kSlot, kSlot);
  }

  std::vector<std::byte> staging_;
  std::array<Header, kMaxGroup + kReceiveBatch> headers_;
  std::array<iovec, 2 * kMaxGroup + 3 * kReceiveBatch> parts_;
  std::array<mmsghdr, kReceiveBatch> vector_{};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(int))> bytes;
  };
  std::array<Control, kReceiveBatch> controls_{};
  std::array<Slot, kReceiveBatch> slots_;
  std::size_t alone_ = kAloneToUngroup;  // datagrams since the kernel last put some together
  std::size_t wanted_ = 0;
  std::size_t header_count_ = 0;
  std::size_t part_count_ = 0;
  std::size_t count_ = 0;
  std::size_t next_ = 0;
  std::size_t offset_ = 0;  // in slot next_
  int error_ = 0;
};

}  // namespace grainfabric::transport::udp
