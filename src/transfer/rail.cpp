// SPDX-License-Identifier: Apache-2.0
#include "transfer/rail.hpp"

#include <algorithm>
#include <utility>

namespace grainfabric {
namespace {

/// So that there is always one to go on with, however long they are.
constexpr std::size_t kLeastInFlight = 2;
/// Leaves room in the endpoint's queue for credits and messages.
constexpr std::size_t kReservedDepth = 8;

constexpr std::size_t kSmallestPiece = 4096;
/// A piece's length travels in 32 bits of its context.
constexpr std::size_t kLargestPiece = std::size_t{1} << 30U;

std::size_t in_flight_limit(std::size_t write_depth) {
  return write_depth > 2 * kReservedDepth ? write_depth - kReservedDepth
                                          : std::max<std::size_t>(write_depth / 2, 1);
}

std::size_t piece_size_of(const RailOptions& options, const transport::Capabilities& capabilities) {
  const std::size_t wanted = options.piece_size != 0 ? options.piece_size : capabilities.piece_size;
  return std::min({std::max(wanted, kSmallestPiece), capabilities.max_write, kLargestPiece});
}

/// A piece's context: which transfer, and how long it was.
std::uint64_t make_context(std::uint64_t id, std::size_t size) {
  return id << 32U | static_cast<std::uint32_t>(size);
}

}  // namespace

Rail::Rail(transport::Endpoint& endpoint, const transport::Capabilities& capabilities,
           RailOptions options)
    : endpoint_(endpoint),
      announce_(capabilities.ordered ? Announce::last_piece : Announce::every_piece),
      piece_size_(piece_size_of(options, capabilities)),
      window_(options.window),
      max_in_flight_(in_flight_limit(capabilities.write_depth)) {}

std::uint16_t Rail::announcements(std::size_t size) const noexcept {
  if (announce_ == Announce::last_piece) return 1;
  return static_cast<std::uint16_t>((size + piece_size_ - 1) / piece_size_);
}

void Rail::submit(Transfer transfer) {
  const std::size_t size = transfer.size();
  transfers_.push_back({std::move(transfer), size});
  pump();
}

Rail::Announcement Rail::next_announcement(const Queued& queued) const noexcept {
  const Transfer& transfer = queued.transfer;
  if (transfer.slice_size != 0 && announce_ == Announce::last_piece) {
    const std::size_t in_slices = std::max(queued.posted, transfer.lead) - transfer.lead;
    const std::size_t next = in_slices / transfer.slice_size + 1;
    if (next < transfer.slices) {
      return {transfer.lead + next * transfer.slice_size, static_cast<std::uint16_t>(next)};
    }
  }
  return {queued.size, transfer.slices};
}

transport::Posted Rail::post_piece(Queued& queued) {
  const Announcement next = next_announcement(queued);
  const std::size_t length = std::min(piece_size_, next.end - queued.posted);
  std::array<transport::LocalPiece, Transfer::kMaxPieces> parts;
  std::size_t count = 0;
  std::size_t skip = queued.posted;
  std::size_t wanted = length;
  for (std::size_t i = 0; i < queued.transfer.piece_count && wanted > 0; ++i) {
    const transport::LocalPiece& piece = queued.transfer.pieces[i];
    if (skip >= piece.size) {
      skip -= piece.size;
      continue;
    }
    const std::size_t part = std::min(piece.size - skip, wanted);
    parts[count++] = {piece.data + skip, part, piece.registration};
    wanted -= part;
    skip = 0;
  }
  const bool last = queued.posted + length == queued.size;
  std::optional<std::uint32_t> immediate;
  if (announce_ == Announce::every_piece) {
    immediate = make_immediate(queued.transfer.subject, announcements(queued.size));
  } else if (queued.posted + length == next.end) {
    immediate = make_immediate(queued.transfer.subject, next.slices);
  }
  const std::uint64_t id = first_id_ + next_;
  const std::uint64_t address = queued.transfer.target_address + queued.posted;
  // Counted before, since the completion may come inside the call and end the transfer.
  queued.posted += length;
  next_ += last ? 1 : 0;
  ++in_flight_;
  in_flight_bytes_ += length;
  const transport::Posted posted = endpoint_.write(
      {parts.data(), count}, address, queued.transfer.key, immediate, make_context(id, length));
  if (posted != transport::Posted::ok) {
    queued.posted -= length;
    next_ -= last ? 1 : 0;
    --in_flight_;
    in_flight_bytes_ -= length;
  }
  return posted;
}

void Rail::pump() {
  if (pumping_) return;  // a completion inside write() comes back here
  pumping_ = true;
  while (next_ < transfers_.size() && in_flight_ < max_in_flight_ &&
         (in_flight_ < kLeastInFlight || in_flight_bytes_ < window_)) {
    if (post_piece(transfers_[next_]) != transport::Posted::ok) break;
  }
  pumping_ = false;
}

void Rail::on_completed(std::uint64_t context) {
  const std::size_t length = static_cast<std::uint32_t>(context);
  // Ids wrap at 32 bits in a context; the distance from the oldest does not.
  const std::size_t index = static_cast<std::uint32_t>((context >> 32U) - first_id_);
  if (index >= transfers_.size()) return;
  --in_flight_;
  in_flight_bytes_ -= length;
  transfers_[index].completed += length;
  if (transfers_[index].completed == transfers_[index].size) {
    if (auto done = std::exchange(transfers_[index].transfer.done, nullptr)) done(true);
  }
  while (!transfers_.empty() && transfers_.front().completed == transfers_.front().size) {
    transfers_.drop_front();
    ++first_id_;
    --next_;
  }
  pump();
}

void Rail::abandon() {
  auto ended = std::exchange(transfers_, {});
  first_id_ += ended.size();
  next_ = 0;
  for (; !ended.empty(); ended.drop_front()) {
    if (ended.front().transfer.done) ended.front().transfer.done(false);
  }
}

}  // namespace grainfabric
