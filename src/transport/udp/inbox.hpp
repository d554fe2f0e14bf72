// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "transport/registry.hpp"
#include "transport/udp/packet.hpp"
#include "transport/udp/ranges.hpp"

namespace grainfabric::transport::udp {

/// What this side receives: puts the payload of writes in its place in any order, and tells in
/// order of what has landed. Two writes to the same bytes land in order only if the first has
/// landed before the second is sent, or both are small (injected).
class Inbox {
 public:
  enum class Taken {
    fresh,       ///< In place, or kept until it can be.
    duplicate,   ///< All of it was here before.
    refused,     ///< Outside of the window, or too many holes: as if it had been lost.
    bad_memory,  ///< No such key, or not in its range: the peer is of no more use.
    bad_packet,  ///< Something that a peer never sends.
  };

  class Events {
   public:
    virtual void on_landed_immediate(std::uint32_t immediate) = 0;
    virtual void on_landed_message(std::span<const std::byte> message) = 0;
    /// bad_packet: more of them than agreed; bad_memory: nothing that may be read.
    virtual Taken on_read_request(const ReadRequest& request) = 0;
    /// bad_packet: its data came before it was asked for.
    virtual Taken on_read_done(std::uint64_t number, std::uint64_t context) = 0;

   protected:
    ~Events() = default;
  };

  Inbox(std::shared_ptr<const Registry> registry, Events& events);

  /// Takes a chunk; what became due by it is told by deliver(). The payload may lie in its place
  /// already.
  Taken take(const Data& data);
  /// Tells what has landed. May be called from inside its own events; does nothing then.
  Taken deliver();

  [[nodiscard]] std::uint64_t landed() const noexcept { return received_.complete(); }
  [[nodiscard]] bool has_holes() const noexcept { return received_.size() > 1; }

  /// The read of this side whose data is to come; its number, or none where too many are under way.
  std::optional<std::uint64_t> expect_read(std::byte* to, std::size_t size, std::uint64_t context);

  /// Where the next payloads go if the peer goes on as it began.
  struct Forecast {
    Data next;  ///< Of which key, address and position count.
    std::byte* place = nullptr;
    std::size_t left = 0;   ///< Bytes.
    std::size_t chunk = 0;  ///< Bytes in each datagram; the last may have fewer.
  };
  /// None where it does not (a new run, holes, small chunks, memory withdrawn).
  [[nodiscard]] std::optional<Forecast> forecast() const noexcept;
  /// The forecast that begins with this chunk, which has not been received yet.
  [[nodiscard]] std::optional<Forecast> forecast_from(const Data& data) const noexcept;

 private:
  struct Read {
    std::uint64_t number = 0;
    std::byte* to = nullptr;
    std::size_t size = 0;
    std::uint64_t context = 0;
    bool active = false;
  };
  /// What waits for what is missing before it.
  struct Pending {
    Data data;
    std::vector<std::byte> payload;
  };

  [[nodiscard]] std::byte* place_of(const Data& data, std::uint64_t length) const noexcept;
  [[nodiscard]] Taken check(const Data& data) const noexcept;
  void keep(const Data& data);
  Taken apply(const Data& data);
  Taken apply_message(const Data& data);
  Taken finish_read(const Data& data);

  std::shared_ptr<const Registry> registry_;
  Events& events_;
  Ranges received_;
  std::deque<Pending> pending_;  // by end, then position
  std::uint64_t told_ = 0;       // events of chunks that end up to here have been told
  std::vector<std::byte> message_;
  std::uint64_t message_next_ = 0;  // position
  std::array<Read, kReadDepth> reads_{};
  std::uint64_t next_read_ = 0;
  Data last_;  // the last of the highest position
  bool delivering_ = false;
};

}  // namespace grainfabric::transport::udp
