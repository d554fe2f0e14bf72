// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/export.hpp"
#include "base/fifo.hpp"
#include "transfer/rail_options.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

/// How the target learns that a transfer is complete.
enum class Announce {
  last_piece,   ///< The transport keeps order: only the last piece carries an immediate.
  every_piece,  ///< It does not: each piece carries one and the target counts them.
};

/// One write of gathered local memory to a contiguous range of a peer's.
struct Transfer {
  static constexpr std::size_t kMaxPieces = 8;

  std::array<transport::LocalPiece, kMaxPieces> pieces{};
  std::size_t piece_count = 0;
  std::uint64_t target_address = 0;
  std::uint64_t key = 0;
  /// Low half of the immediate data: what the transfer is about (a slot).
  std::uint16_t subject = 0;
  /// Where order is kept, the last piece says `slices` in the high half; and where slice_size is
  /// not 0, their number so far is said after the first `lead` + slice_size bytes and after each
  /// slice_size more.
  std::uint16_t slices = 1;
  std::size_t lead = 0;
  std::size_t slice_size = 0;
  /// The local memory is free again (or, false, the endpoint failed first). On the loop thread.
  std::function<void(bool written)> done;

  [[nodiscard]] std::size_t size() const noexcept {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < piece_count; ++i) sum += pieces[i].size;
    return sum;
  }
};

/// Immediate data of a transfer: subject in bits 0-15; in bits 16-31, with Announce::last_piece the
/// number of slices valid now (1 of 1 for a whole grain), with every_piece the number of
/// immediates that make the transfer complete (which of its bytes one of them speaks for is not in
/// it, so that there are no slices there).
constexpr std::uint32_t make_immediate(std::uint16_t subject, std::uint16_t count) {
  return static_cast<std::uint32_t>(count) << 16U | subject;
}

/// Queues transfers on one endpoint, cuts them, and keeps the endpoint busy but not flooded.
/// Loop thread only.
class GRAINFABRIC_API Rail {
 public:
  /// `endpoint` is borrowed and outlives the rail.
  Rail(transport::Endpoint& endpoint, const transport::Capabilities& capabilities,
       RailOptions options);

  [[nodiscard]] Announce announce() const noexcept { return announce_; }
  /// The number of immediates that a transfer of `size` bytes in one slice sends.
  [[nodiscard]] std::uint16_t announcements(std::size_t size) const noexcept;
  /// Longest transfer whose pieces still can be counted in an immediate.
  [[nodiscard]] std::size_t max_transfer() const noexcept { return piece_size_ * 0xFFFF; }

  /// Queues and posts as much as fits. Transfers go out in order.
  void submit(Transfer transfer);
  /// From EndpointEvents::on_completed of this rail's endpoint.
  void on_completed(std::uint64_t context);
  /// Posts what was held back by Posted::again; call after progress of any kind.
  void pump();
  /// Ends every unfinished transfer with done(false). The endpoint must be gone by then, so that
  /// nobody touches the memory any more.
  void abandon();

  [[nodiscard]] bool idle() const noexcept { return transfers_.empty(); }

 private:
  struct Queued {
    Transfer transfer;
    std::size_t size = 0;
    std::size_t posted = 0;     // bytes
    std::size_t completed = 0;  // bytes
  };

  /// What the next immediate of a transfer speaks for, and says.
  struct Announcement {
    std::size_t end;  // bytes from the front of the transfer
    std::uint16_t slices;
  };

  [[nodiscard]] Announcement next_announcement(const Queued& queued) const noexcept;
  transport::Posted post_piece(Queued& queued);

  transport::Endpoint& endpoint_;
  const Announce announce_;
  const std::size_t piece_size_;
  const std::size_t window_;
  const std::size_t max_in_flight_;
  Fifo<Queued> transfers_;  // front is the oldest; contexts count from first_id_
  std::uint64_t first_id_ = 0;
  std::size_t next_ = 0;       // first of transfers_ not posted whole
  std::size_t in_flight_ = 0;  // pieces
  std::size_t in_flight_bytes_ = 0;
  bool pumping_ = false;
};

}  // namespace grainfabric
