// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <array>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "transport/registry.hpp"
#include "transport/transport.hpp"
#include "transport/udp/packet.hpp"
#include "transport/udp/ranges.hpp"

namespace grainfabric::transport::udp {

/// A datagram's worth of the stream: the DATA header but for its numbers, and where the payload is.
struct Chunk {
  static constexpr std::size_t kMaxParts = 12;  // of a datagram that crosses short operations

  Data header;
  std::array<iovec, kMaxParts> parts;
  std::size_t part_count = 0;
  std::size_t size = 0;  ///< Of the payload.
  [[nodiscard]] std::uint64_t end() const noexcept {
    return header.position + (size == 0 ? 1 : size);
  }
};

/// What this side sends, as one stream of positions: each operation takes as many as it has bytes,
/// at least one. Positions never change, so that what is lost can go again cut otherwise. An
/// operation stays until the peer says that all up to its end has landed. Allocates at creation,
/// and for a message.
class Outbox {
 public:
  explicit Outbox(std::shared_ptr<const Registry> registry);

  // Posting; false where too many of the kind have not landed.
  bool post_write(std::span<const LocalPiece> pieces, std::uint64_t address, std::uint64_t key,
                  std::optional<std::uint32_t> immediate, std::uint64_t context);
  bool post_inject(std::span<const std::byte> data, std::uint64_t address, std::uint64_t key,
                   std::uint32_t immediate);
  bool post_message(std::span<const std::byte> message, std::uint64_t context);
  bool post_read_request(const ReadRequest& request);
  [[nodiscard]] bool takes_read_request() const noexcept {
    return counts_[static_cast<std::size_t>(Kind::read_request)] < kReadDepth;
  }
  /// The answer to a peer's read.
  bool post_read_data(const ReadRequest& request);

  /// What the peer's next step shows to have landed before an ACK says so: `kind` is read_request
  /// (its data came) or read_data (its place was asked for again), and all reads up to `number`
  /// are meant. False: nobody can know that yet, since not all of it was sent.
  template <typename Done>
  bool land_reads(Kind kind, std::uint64_t number, const Done& done) {
    std::uint64_t end = landed_;
    for (Number i = first_; i != last_; ++i) {
      if (at(i).kind == kind && at(i).key <= number) end = at(i).end;
    }
    if (end > next_) return false;
    land(end, done);
    return true;
  }

  /// Whether something waits to be sent, no more than kStreamWindow ahead of what has landed.
  [[nodiscard]] bool has_more() const noexcept { return !lost_.empty() || next_ < limit(); }
  /// Cuts the next chunk of at most `most` payload bytes, what was lost first; it counts as sent.
  /// False: nothing to send, or (see withdrawn()) its memory is gone.
  bool cut(std::size_t most, Chunk* chunk);
  /// Memory that a peer is reading is not registered any more.
  [[nodiscard]] bool withdrawn() const noexcept { return withdrawn_; }
  /// This range is to go again.
  void requeue(std::uint64_t begin, std::uint64_t end);

  [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
  /// Nothing from here on was ever sent.
  [[nodiscard]] std::uint64_t sent() const noexcept { return next_; }
  [[nodiscard]] std::uint64_t landed() const noexcept { return landed_; }
  /// Whether the user waits for something of this to land.
  [[nodiscard]] bool awaits() const noexcept { return awaited_ > 0; }
  /// All before `position` has landed: `done` gets the contexts of writes and sends, in order.
  template <typename Done>
  void land(std::uint64_t position, const Done& done) {
    landed_ = std::max(landed_, position);
    drop_landed();
    while (first_ != last_ && at(first_).end <= landed_) {
      const Kind kind = at(first_).kind;
      const bool tells = at(first_).tells;
      const std::uint64_t context = at(first_).context;
      finish(kind);
      if (tells) done(context);
    }
  }

 private:
  struct Operation {
    Kind kind = Kind::write;
    bool tells = false;  // the user, by on_completed
    bool has_immediate = false;
    bool asks = false;  // for an ACK at once
    std::uint32_t immediate = 0;
    std::uint32_t piece_count = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::size_t size = 0;
    std::uint64_t address = 0;
    std::uint64_t key = 0;  // of a read's request or data: its number
    std::uint64_t context = 0;
    std::array<iovec, kMaxPieces> pieces{};
    std::array<std::byte, kMaxInject> copy{};
    std::uint64_t source_key = 0;  // read data: where it comes from
    std::uint64_t source = 0;
  };
  using Number = std::uint64_t;  // of an operation

  Operation& at(Number number) noexcept { return ring_[number % kOperations]; }
  [[nodiscard]] const Operation& at(Number number) const noexcept {
    return ring_[number % kOperations];
  }
  [[nodiscard]] std::uint64_t limit() const noexcept {
    return std::min(end_, landed_ + kStreamWindow);
  }
  Operation& append(Kind kind, std::size_t size);
  void finish(Kind kind);
  [[nodiscard]] std::size_t& count(Kind kind) noexcept {
    return counts_[static_cast<std::size_t>(kind)];
  }
  [[nodiscard]] Number containing(std::uint64_t position) const noexcept;
  [[nodiscard]] bool continues(Number number) const noexcept;
  [[nodiscard]] std::uint64_t run_end(Number number) noexcept;
  /// So that the first of lost_, if any, is still to go; ranges behind it may have landed.
  void drop_landed() noexcept {
    while (!lost_.empty() && lost_.front().end <= landed_) lost_.pop_front();
  }
  bool gather(const Operation& operation, std::size_t skip, std::size_t wanted, Chunk* chunk);

  std::shared_ptr<const Registry> registry_;
  std::vector<Operation> ring_;
  Number first_ = 0;
  Number last_ = 0;                      // one beyond
  std::array<std::size_t, 6> counts_{};  // by kind
  std::size_t awaited_ = 0;
  std::vector<std::array<std::byte, kMaxMessage>> messages_;  // allocated at the first
  std::uint64_t messages_posted_ = 0;
  std::uint64_t injects_posted_ = 0;

  std::uint64_t landed_ = 0;
  std::uint64_t next_ = 0;  // first position never sent
  std::uint64_t end_ = 0;
  std::deque<Ranges::Range> lost_;
  Number run_of_ = 0;  // cached by run_end()
  std::uint64_t run_begin_ = 0;
  std::uint64_t run_end_ = 0;
  bool withdrawn_ = false;
};

}  // namespace grainfabric::transport::udp
