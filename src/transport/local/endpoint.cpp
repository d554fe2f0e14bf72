// SPDX-License-Identifier: Apache-2.0
#include "transport/local/endpoint.hpp"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.hpp"

namespace grainfabric::transport::local {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t size_of(std::span<const LocalPiece> pieces) {
  std::size_t size = 0;
  for (const LocalPiece& piece : pieces) size += std::min(piece.size, kMaxWrite + 1);
  return size;
}

/// Copies `length` bytes of a gather list, from `skip` on.
void gather(std::span<const LocalPiece> pieces, std::size_t skip, std::size_t length,
            std::byte* to) {
  for (const LocalPiece& piece : pieces) {
    if (skip >= piece.size) {
      skip -= piece.size;
      continue;
    }
    const std::size_t part = std::min(piece.size - skip, length);
    if (part == 0) return;
    std::memcpy(to, piece.data + skip, part);
    to += part;
    length -= part;
    skip = 0;
  }
}

}  // namespace

// ---- posting ----------------------------------------------------------------------------------

bool LocalEndpoint::is_ready(Posted* why_not) const noexcept {
  *why_not = is_closed_ || failure_ || peer_closed_ ? Posted::failed : Posted::again;
  return *why_not == Posted::again && out_;
}

Posted LocalEndpoint::refuse(const std::string& what) {
  fail(Error(ErrorCode::invalid_argument, what + " can never work (local)",
             "See the capabilities of the domain."));
  return Posted::failed;
}

void LocalEndpoint::commit(const Frame& frame) {
  if (out_->commit(frame)) wake_peer();
}

/// A frame that goes at once or not at all.
Posted LocalEndpoint::post_small(const Frame& frame, std::span<const std::byte> data) {
  std::byte* place = waiting_.empty() ? out_->place(data.size()) : nullptr;
  if (place == nullptr) return Posted::again;
  if (!data.empty()) std::memcpy(place, data.data(), data.size());
  commit(frame);
  return Posted::ok;
}

Posted LocalEndpoint::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                            std::uint64_t key, std::optional<std::uint32_t> immediate,
                            std::uint64_t context) {
  Posted why_not;
  if (!is_ready(&why_not)) return why_not;
  const std::size_t size = size_of(pieces);
  if (size > kMaxWrite || pieces.size() > kMaxPieces) {
    return refuse("A write of " + std::to_string(size) + " bytes in " +
                  std::to_string(pieces.size()) + " pieces");
  }
  if (waiting_.size() >= kDepth) return Posted::again;
  Outgoing outgoing;
  outgoing.frame.kind = Kind::write;
  outgoing.frame.address = target_address;
  outgoing.frame.key = key;
  outgoing.frame.rest = size;
  std::copy(pieces.begin(), pieces.end(), outgoing.pieces.begin());
  outgoing.piece_count = pieces.size();
  outgoing.immediate = immediate;
  outgoing.context = context;
  if (!waiting_.empty() || !send_part(&outgoing)) waiting_.push_back(outgoing);
  return Posted::ok;
}

Posted LocalEndpoint::inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                                   std::uint64_t key, std::uint32_t immediate) {
  Posted why_not;
  if (!is_ready(&why_not)) return why_not;
  if (data.size() > kMaxInject) {
    return refuse("An injected write of " + std::to_string(data.size()) + " bytes");
  }
  Frame frame;
  frame.kind = Kind::write;
  frame.has_immediate = 1;
  frame.immediate = immediate;
  frame.length = static_cast<std::uint32_t>(data.size());
  frame.address = target_address;
  frame.key = key;
  frame.rest = data.size();
  return post_small(frame, data);
}

Posted LocalEndpoint::read(const LocalPiece& destination, std::uint64_t source_address,
                           std::uint64_t key, std::uint64_t context) {
  Posted why_not;
  if (!is_ready(&why_not)) return why_not;
  if (destination.size > kMaxWrite) {
    return refuse("A read of " + std::to_string(destination.size) + " bytes");
  }
  if (readings_.size() >= kDepth) return Posted::again;
  Frame frame;
  frame.kind = Kind::read;
  frame.address = source_address;
  frame.key = key;
  frame.rest = destination.size;
  frame.id = last_reading_ + 1;
  const Posted posted = post_small(frame, {});
  if (posted == Posted::ok) {
    readings_.emplace(++last_reading_,
                      Reading{const_cast<std::byte*>(destination.data), destination.size, context});
  }
  return posted;
}

Posted LocalEndpoint::send(std::span<const std::byte> message, std::uint64_t context) {
  Posted why_not;
  if (!is_ready(&why_not)) return why_not;
  if (message.size() > kMaxMessage) {
    return refuse("A message of " + std::to_string(message.size()) + " bytes");
  }
  Frame frame;
  frame.kind = Kind::message;
  frame.length = static_cast<std::uint32_t>(message.size());
  const Posted posted = post_small(frame, message);
  if (posted == Posted::ok) completed_.push_back(context);
  return posted;
}

Posted LocalEndpoint::share(std::uint32_t id, int file) {
  Posted why_not;
  if (!is_ready(&why_not)) return why_not;
  Frame frame;
  frame.kind = Kind::share;
  frame.id = id;
  // The file first: the frame says that it is there.
  if (!waiting_.empty() || out_->place(0) == nullptr ||
      !send_packet(socket_.get(), std::as_bytes(std::span(&id, 1)), file)) {
    return Posted::again;
  }
  return post_small(frame, {});
}

Posted LocalEndpoint::unshare(std::uint32_t id) {
  Posted why_not;
  if (!is_ready(&why_not)) return why_not;
  Frame frame;
  frame.kind = Kind::unshare;
  frame.id = id;
  return post_small(frame, {});
}

UniqueFd LocalEndpoint::lifeline() const {
  if (!socket_) return {};
  has_lifeline_ = true;
  return UniqueFd(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
}

// ---- sending ----------------------------------------------------------------------------------

/// As much of it as there is room for now. Returns whether that was all.
bool LocalEndpoint::send_part(Outgoing* outgoing) {
  constexpr std::size_t kMost = kMaxFrame - sizeof(Frame);
  Frame& frame = outgoing->frame;
  do {
    const std::size_t length = std::min<std::size_t>(frame.rest, kMost);
    std::byte* place = out_->place(length);
    if (place == nullptr) return false;
    if (frame.kind == Kind::answer) {
      // It may have waited, and its memory have gone meanwhile.
      const std::byte* source = device_->registry->find(frame.key, frame.address, frame.rest);
      if (source == nullptr) {
        fail(Error(ErrorCode::protocol, "The peer read from memory (local) that has gone"));
        return false;
      }
      if (length > 0) std::memcpy(place, source, length);
    } else {
      gather({outgoing->pieces.data(), outgoing->piece_count}, outgoing->done, length, place);
    }
    frame.length = static_cast<std::uint32_t>(length);
    if (length == frame.rest && outgoing->immediate) {
      frame.has_immediate = 1;
      frame.immediate = *outgoing->immediate;
    }
    commit(frame);
    outgoing->done += length;
    frame.address += length;
    frame.rest -= length;
  } while (frame.rest > 0);
  if (frame.kind == Kind::answer) --answers_waiting_;
  if (outgoing->context) completed_.push_back(*outgoing->context);
  return true;
}

bool LocalEndpoint::send_waiting() {
  bool done = false;
  while (!waiting_.empty() && !failure_ && send_part(&waiting_.front())) {
    waiting_.pop_front();
    done = true;
  }
  return done;
}

/// It may be asleep: a packet is what it sleeps for. One that finds no room finds others before it.
void LocalEndpoint::wake_peer() noexcept {
  constexpr std::byte kWake{};
  static_cast<void>(send_packet(socket_.get(), {&kWake, 1}));
}

// ---- taking -----------------------------------------------------------------------------------

bool LocalEndpoint::take_frames() {
  bool done = false;
  // All that a peer had written before it closed: no more than there is room for.
  const std::size_t most = peer_closed_ ? kQueueSize / sizeof(Frame) : kProgressBatch;
  for (std::size_t i = 0; i < most && !failure_; ++i) {
    const auto arrival = in_->next();
    if (!arrival) break;
    done = true;
    take(*arrival);
    if (in_->pop()) wake_peer();
  }
  return done;
}

void LocalEndpoint::take(const QueueReader::Arrival& arrival) {
  switch (arrival.header.kind) {
    case Kind::write:
      take_write(arrival);
      return;
    case Kind::read:
      take_read(arrival.header);
      return;
    case Kind::answer:
      take_answer(arrival);
      return;
    case Kind::message:
      if (arrival.data.size() > kMaxMessage) break;
      user_.on_message(arrival.data);
      return;
    case Kind::share:
      take_share(arrival.header);
      return;
    case Kind::unshare: {
      const auto id = static_cast<std::uint32_t>(arrival.header.id);
      if (shared_.erase(id) == 0) break;
      user_.on_unshared(id);
      return;
    }
    case Kind::skip:
      break;
  }
  fail(Error(ErrorCode::protocol, "The peer sent what local does not have"));
}

void LocalEndpoint::take_write(const QueueReader::Arrival& arrival) {
  const Frame& frame = arrival.header;
  // All of the write has to fit before its first byte goes there.
  std::byte* place = frame.rest >= frame.length
                         ? device_->registry->find(frame.key, frame.address, frame.rest)
                         : nullptr;
  if (place == nullptr) {
    fail(Error(ErrorCode::protocol, "The peer wrote to memory (local) that is not registered"));
    return;
  }
  if (!arrival.data.empty()) std::memcpy(place, arrival.data.data(), arrival.data.size());
  if (frame.has_immediate != 0) user_.on_immediate(frame.immediate);
}

void LocalEndpoint::take_read(const Frame& frame) {
  if (device_->registry->find(frame.key, frame.address, frame.rest) == nullptr ||
      answers_waiting_ >= kDepth) {
    fail(Error(ErrorCode::protocol,
               "The peer read from memory (local) that is not registered, or too often at once"));
    return;
  }
  Outgoing answer;
  answer.frame.kind = Kind::answer;
  answer.frame.id = frame.id;
  answer.frame.address = frame.address;
  answer.frame.key = frame.key;
  answer.frame.rest = frame.rest;
  ++answers_waiting_;
  if (!waiting_.empty() || !send_part(&answer)) waiting_.push_back(answer);
}

void LocalEndpoint::take_answer(const QueueReader::Arrival& arrival) {
  const auto found = readings_.find(arrival.header.id);
  if (found == readings_.end() || arrival.data.size() > found->second.left) {
    fail(Error(ErrorCode::protocol, "The peer answered a read (local) that was not asked for"));
    return;
  }
  Reading& reading = found->second;
  if (!arrival.data.empty()) {
    std::memcpy(reading.destination, arrival.data.data(), arrival.data.size());
  }
  reading.destination += arrival.data.size();
  reading.left -= arrival.data.size();
  if (reading.left > 0) return;
  completed_.push_back(reading.context);
  readings_.erase(found);
}

void LocalEndpoint::take_share(const Frame& frame) {
  const auto id = static_cast<std::uint32_t>(frame.id);
  if (!files_.contains(id)) take_packets();
  const auto found = files_.find(id);
  if (found == files_.end() || !shared_.insert(id).second) {
    fail(Error(ErrorCode::protocol,
               "The peer shared memory (local) without giving it, or a second time"));
    return;
  }
  UniqueFd file = std::move(found->second);
  files_.erase(found);
  user_.on_shared(id, std::move(file));
}

/// Wake-ups, files, and the end of the peer.
bool LocalEndpoint::take_packets() {
  bool done = false;
  for (std::size_t i = 0; i < kProgressBatch && !peer_closed_ && !failure_; ++i) {
    // What waits in the queue comes first then: it may let go of some. An honest peer has announced
    // all of its files but the last.
    const bool is_full = files_.size() + shared_.size() >= kMaxShared;
    if (is_full && !in_->is_empty()) break;
    std::array<std::byte, 8> bytes{};
    auto packet = receive_packet(socket_.get(), bytes);
    if (!packet) break;
    done = true;
    if (packet->size == 0) {
      peer_closed_ = true;
    } else if (std::uint32_t id = 0; packet->size == sizeof id && packet->file) {
      std::memcpy(&id, bytes.data(), sizeof id);
      if (is_full) {
        fail(Error(ErrorCode::protocol, "The peer shared too much memory (local)"));
        break;
      }
      files_.insert_or_assign(id, std::move(packet->file));
    }
  }
  return done;
}

bool LocalEndpoint::complete() {
  completing_.swap(completed_);
  for (const std::uint64_t context : completing_) user_.on_completed(context);
  const bool done = !completing_.empty();
  completing_.clear();
  return done;
}

// ---- life -------------------------------------------------------------------------------------

void LocalEndpoint::append_fds(std::vector<int>* fds) const {
  fds->push_back(deadline_.fd());
  if (is_closed_) return;
  if (socket_) fds->push_back(socket_.get());
  if (listener_) fds->push_back(listener_.get());
  for (const UniqueFd& stranger : strangers_) fds->push_back(stranger.get());
}

bool LocalEndpoint::arm() {
  if (is_closed_) return true;
  if (failure_ || peer_closed_ || !completed_.empty()) return false;
  if (greeting_) deadline_.no_later_than(give_up_);
  if (!in_) return true;
  if (!waiting_.empty() && !out_->wait_for_room()) return false;
  return is_attended_ || in_->prepare_to_sleep();
}

bool LocalEndpoint::progress() {
  if (is_closed_) deadline_.clear(Clock::now());
  if (is_closed_ || in_progress_) return false;
  in_progress_ = true;
  bool done = failure_.has_value();
  try {
    if (!failure_ && listener_) done |= welcome_strangers();
    if (!failure_ && greeting_) done |= greet();
    if (!failure_ && in_) {
      expire_attendance();
      const bool woken = in_->stay_awake();
      if (woken || in_->is_empty()) done |= take_packets();
      done |= serve();
      // What it had written is taken: its queue outlives it.
      if (peer_closed_ && !failure_) {
        fail(Error(ErrorCode::disconnected, "The peer closed the connection (local)"));
      }
    }
  } catch (const Error& error) {
    fail(error);
  }
  if (failure_) finish();
  in_progress_ = false;
  return done;
}

bool LocalEndpoint::serve() {
  bool done = take_frames();
  done |= send_waiting();
  done |= complete();
  return done;
}

/// The loop, which is here, wakes this side again: it may be on another thread that this was found.
void LocalEndpoint::fail(const Error& reason) {
  if (failure_) return;
  failure_ = reason;
  deadline_.no_later_than(Clock::now());
}

// ---- attendance -------------------------------------------------------------------------------

bool LocalEndpoint::attend(std::chrono::milliseconds how_long) {
  if (is_closed_ || in_progress_ || !in_) return false;
  in_progress_ = true;
  bool done = false;
  at_doorbell_ = false;
  in_->stay_awake();
  try {
    done = serve();
    // What comes between this look and the loop's listening, the loop is woken for.
    const bool has_room = !waiting_.empty() && !out_->wait_for_room();
    is_attended_ = how_long.count() > 0;
    const bool has_more = !is_attended_ && !in_->prepare_to_sleep();
    if (has_room || has_more) deadline_.no_later_than(Clock::now());
  } catch (const Error& error) {
    fail(error);
  }
  if (is_attended_) {
    attended_until_ = Clock::now() + how_long;
    deadline_.no_later_than(attended_until_);
  }
  in_progress_ = false;
  return done;
}

void LocalEndpoint::expire_attendance() {
  const auto now = Clock::now();
  deadline_.clear(now);
  if (!is_attended_ || at_doorbell_) return;
  is_attended_ = now < attended_until_;
  if (is_attended_) deadline_.no_later_than(attended_until_);
}

bool LocalEndpoint::prepare_doorbell() {
  if (is_closed_ || failure_ || !in_) return false;
  at_doorbell_ = in_->prepare_doorbell();
  return at_doorbell_;
}

std::shared_ptr<Doorbell> LocalEndpoint::doorbell() const {
  return in_ ? in_->doorbell() : nullptr;
}

void LocalEndpoint::finish() {
  is_closed_ = true;
  listener_.reset();
  strangers_.clear();
  if (name_) name_->remove();
  say_goodbye();
  // The socket stays until this object goes: it may have lifelines, and a descriptor with copies is
  // not to be closed while it is polled.
  if (socket_ && !has_lifeline_) ::shutdown(socket_.get(), SHUT_RDWR);
  user_.on_closed(*failure_);
}

LocalEndpoint::~LocalEndpoint() {
  if (is_closed_) return;
  if (name_ && listener_) name_->remove();
  say_goodbye();
}

/// The side that connected lent the memory: it says that it goes, and watches its lifeline. The
/// other side's says by being open that somebody still reads, and both going would hang it up.
void LocalEndpoint::say_goodbye() noexcept {
  if (socket_ && has_lifeline_ && !name_) ::shutdown(socket_.get(), SHUT_WR);
}

}  // namespace grainfabric::transport::local
