// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/outbox.hpp"

#include <algorithm>
#include <cstring>

namespace grainfabric::transport::udp {

static_assert(kWriteDepth + kInjectDepth + kSendDepth + 2 * kReadDepth <= kOperations);
static_assert(ReadRequest::kSize <= kMaxInject && kMaxPieces < Chunk::kMaxParts);

Outbox::Outbox(std::shared_ptr<const Registry> registry)
    : registry_(std::move(registry)), ring_(kOperations) {}

Outbox::Operation& Outbox::append(Kind kind, std::size_t size) {
  ++count(kind);
  Operation& operation = at(last_++);
  operation.kind = kind;
  operation.tells = kind == Kind::write || kind == Kind::message;
  awaited_ += kind == Kind::small_write ? 0 : 1;
  operation.has_immediate = false;
  operation.asks = false;
  operation.piece_count = 0;
  operation.size = size;
  operation.begin = end_;
  end_ += std::max<std::size_t>(size, 1);
  operation.end = end_;
  return operation;
}

void Outbox::finish(Kind kind) {
  --count(kind);
  awaited_ -= kind == Kind::small_write ? 0 : 1;
  ++first_;
}

bool Outbox::post_write(std::span<const LocalPiece> pieces, std::uint64_t address,
                        std::uint64_t key, std::optional<std::uint32_t> immediate,
                        std::uint64_t context) {
  if (count(Kind::write) >= kWriteDepth) return false;
  std::size_t size = 0;
  for (const LocalPiece& piece : pieces) size += piece.size;
  Operation& operation = append(Kind::write, size);
  operation.address = address;
  operation.key = key;
  operation.has_immediate = immediate.has_value();
  operation.immediate = immediate.value_or(0);
  operation.context = context;
  for (const LocalPiece& piece : pieces) {
    if (piece.size == 0) continue;
    operation.pieces[operation.piece_count++] = {const_cast<std::byte*>(piece.data), piece.size};
  }
  return true;
}

bool Outbox::post_inject(std::span<const std::byte> data, std::uint64_t address, std::uint64_t key,
                         std::uint32_t immediate) {
  if (count(Kind::small_write) >= kInjectDepth) return false;
  Operation& operation = append(Kind::small_write, data.size());
  operation.address = address;
  operation.key = key;
  operation.has_immediate = true;
  // Nobody waits for their completion, but they must not run out.
  operation.asks = ++injects_posted_ % (kInjectDepth / 4) == 0;
  operation.immediate = immediate;
  std::copy(data.begin(), data.end(), operation.copy.begin());
  operation.pieces[0] = {operation.copy.data(), data.size()};
  operation.piece_count = data.empty() ? 0 : 1;
  return true;
}

bool Outbox::post_message(std::span<const std::byte> message, std::uint64_t context) {
  if (count(Kind::message) >= kSendDepth) return false;
  if (messages_.empty()) messages_.resize(kSendDepth);
  // Messages land in order, so the one that had this buffer is gone.
  auto& buffer = messages_[messages_posted_++ % kSendDepth];
  Operation& operation = append(Kind::message, message.size());
  operation.context = context;
  std::copy(message.begin(), message.end(), buffer.begin());
  operation.pieces[0] = {buffer.data(), message.size()};
  operation.piece_count = message.empty() ? 0 : 1;
  return true;
}

bool Outbox::post_read_request(const ReadRequest& request) {
  if (!takes_read_request()) return false;
  Operation& operation = append(Kind::read_request, ReadRequest::kSize);
  operation.key = request.number;
  write(request, std::span(operation.copy).first<ReadRequest::kSize>());
  operation.pieces[0] = {operation.copy.data(), ReadRequest::kSize};
  operation.piece_count = 1;
  return true;
}

bool Outbox::post_read_data(const ReadRequest& request) {
  if (count(Kind::read_data) >= kReadDepth) return false;
  Operation& operation = append(Kind::read_data, request.length);
  operation.address = 0;
  operation.key = request.number;
  operation.source = request.address;
  operation.source_key = request.key;
  return true;
}

void Outbox::requeue(std::uint64_t begin, std::uint64_t end) {
  begin = std::max(begin, landed_);
  // Never merged: what goes again is a part of what went before, or the same; see Inbox::apply().
  if (begin < end) lost_.push_back({begin, end});
}

Outbox::Number Outbox::containing(std::uint64_t position) const noexcept {
  Number low = first_;
  Number high = last_ - 1;
  // What is sent for the first time is near what was sent last: try that one and the next.
  if (run_of_ >= first_ && run_of_ < last_ && at(run_of_).begin <= position) {
    if (position < at(run_of_).end) return run_of_;
    low = run_of_ + 1;
    if (position < at(low).end) return low;
  }
  while (low < high) {
    const Number middle = low + (high - low) / 2;
    if (position < at(middle).end) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/// Whether the next operation writes on where this one, without a word to the peer, ends.
bool Outbox::continues(Number number) const noexcept {
  if (number + 1 >= last_) return false;
  const Operation& one = at(number);
  const Operation& next = at(number + 1);
  return one.kind == Kind::write && next.kind == Kind::write && !one.has_immediate &&
         one.size > 0 && next.size > 0 && next.key == one.key &&
         next.address == one.address + one.size;
}

std::uint64_t Outbox::run_end(Number number) noexcept {
  const std::uint64_t begin = at(number).begin;
  const bool cached = begin >= run_begin_ && at(number).end < run_end_;
  run_of_ = number;
  if (cached) return run_end_;
  run_begin_ = begin;
  while (continues(number)) ++number;
  run_end_ = at(number).end;
  return run_end_;
}

bool Outbox::gather(const Operation& operation, std::size_t skip, std::size_t wanted,
                    Chunk* chunk) {
  if (operation.kind == Kind::read_data) {
    std::byte* from = registry_->find(operation.source_key, operation.source, operation.size);
    if (from == nullptr) return false;
    if (wanted > 0) chunk->parts[chunk->part_count++] = {from + skip, wanted};
    return true;
  }
  for (std::size_t i = 0; i < operation.piece_count && wanted > 0; ++i) {
    const iovec& piece = operation.pieces[i];
    if (skip >= piece.iov_len) {
      skip -= piece.iov_len;
      continue;
    }
    const std::size_t part = std::min(piece.iov_len - skip, wanted);
    chunk->parts[chunk->part_count++] = {static_cast<std::byte*>(piece.iov_base) + skip, part};
    wanted -= part;
    skip = 0;
  }
  return true;
}

bool Outbox::cut(std::size_t most, Chunk* chunk) {
  const bool again = !lost_.empty();
  const std::uint64_t begin = again ? std::max(lost_.front().begin, landed_) : next_;
  const std::uint64_t stop = again ? lost_.front().end : limit();
  if (begin >= stop) return false;

  Number number = containing(begin);
  const Operation& operation = at(number);
  // Nothing of a small write is ever cut: it is applied whole.
  Data& header = chunk->header;
  header.kind = operation.kind;
  header.position = begin;
  header.key = operation.key;
  header.address = operation.address + (begin - operation.begin);
  header.flags = begin == operation.begin ? kFirst : 0;
  header.immediate = 0;
  chunk->part_count = 0;
  chunk->size = 0;
  const std::uint64_t run = run_end(number);
  for (;; ++number) {
    const Operation& part = at(number);
    const std::uint64_t from = begin + chunk->size;
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(
        {most - chunk->size, part.begin + part.size - from, part.size == 0 ? 0 : stop - from}));
    if (!gather(part, static_cast<std::size_t>(from - part.begin), size, chunk)) {
      withdrawn_ = true;
      return false;
    }
    chunk->size += size;
    const bool whole = from + size == part.begin + part.size;
    if (whole && !continues(number)) {
      header.flags |= static_cast<std::uint8_t>(kLast | (part.has_immediate ? kImmediate : 0) |
                                                (part.asks ? kAckNow : 0));
      header.immediate = part.immediate;
    }
    // Another operation's pieces must still fit.
    if (!whole || !continues(number) || chunk->size == most || begin + chunk->size >= stop ||
        chunk->part_count + kMaxPieces > Chunk::kMaxParts) {
      break;
    }
  }
  const std::uint64_t end = chunk->end();
  header.left =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(run > end ? run - end : 0, UINT32_MAX));
  if (again) {
    lost_.front().begin = end;
    if (lost_.front().begin >= lost_.front().end) lost_.pop_front();
    drop_landed();
  } else {
    next_ = end;
  }
  return true;
}

}  // namespace grainfabric::transport::udp
