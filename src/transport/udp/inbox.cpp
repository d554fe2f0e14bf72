// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/inbox.hpp"

#include <algorithm>
#include <cstring>

namespace grainfabric::transport::udp {
namespace {

bool is_placed_at_once(Kind kind) {
  return kind == Kind::write || kind == Kind::read_data;
}

/// Whether its end has to be told, or its content kept, until all before has landed.
bool is_told(const Data& data) {
  return !is_placed_at_once(data.kind) || (data.flags & kImmediate) != 0 ||
         (data.kind == Kind::read_data && (data.flags & kLast) != 0);
}

}  // namespace

Inbox::Inbox(std::shared_ptr<const Registry> registry, Events& events)
    : registry_(std::move(registry)), events_(events) {
  message_.reserve(kMaxMessage);
}

std::byte* Inbox::place_of(const Data& data, std::uint64_t length) const noexcept {
  if (data.kind != Kind::read_data) return registry_->find(data.key, data.address, length);
  const Read& read = reads_[data.key % kReadDepth];
  if (!read.active || read.number != data.key || data.address > read.size ||
      length > read.size - data.address) {
    return nullptr;
  }
  return read.to + data.address;
}

Inbox::Taken Inbox::check(const Data& data) const noexcept {
  const std::uint64_t end = data.end();
  if (end < data.position || end > landed() + kStreamWindow) return Taken::refused;
  if (received_.contains(data.position, end)) return Taken::duplicate;
  if (data.kind == Kind::small_write && data.payload.size() > kMaxInject) return Taken::bad_packet;
  return Taken::fresh;
}

Inbox::Taken Inbox::take(const Data& data) {
  if (const Taken verdict = check(data); verdict != Taken::fresh) return verdict;
  if (is_placed_at_once(data.kind)) {
    // What is announced to follow must fit too: a write that does not is not begun.
    std::byte* place = place_of(data, data.payload.size() + data.left);
    if (place == nullptr) return Taken::bad_memory;
    // What has landed belongs to the user again.
    const std::size_t skip = landed() > data.position ? landed() - data.position : 0;
    if (place != data.payload.data() && skip < data.payload.size()) {
      std::memcpy(place + skip, data.payload.data() + skip, data.payload.size() - skip);
    }
  }
  const bool in_order = data.position <= landed();
  const std::uint64_t highest = received_.highest();
  const bool at_once = in_order && pending_.empty() && !delivering_ && data.end() >= highest;
  if (is_told(data) && !at_once && pending_.size() >= kMaxPending) return Taken::refused;
  if (!received_.insert(data.position, data.end())) return Taken::refused;
  if (data.end() > highest) last_ = data;
  if (!is_told(data)) return Taken::fresh;
  if (!at_once) {
    keep(data);
    return Taken::fresh;
  }
  delivering_ = true;
  const Taken applied = apply(data);
  delivering_ = false;
  return applied;
}

void Inbox::keep(const Data& data) {
  const auto before = [](const Data& one, const Data& other) {
    return std::pair(one.end(), one.position) < std::pair(other.end(), other.position);
  };
  auto at = pending_.end();
  while (at != pending_.begin() && before(data, (at - 1)->data)) --at;
  at = pending_.insert(at, Pending{data, {}});
  if (!is_placed_at_once(data.kind)) at->payload.assign(data.payload.begin(), data.payload.end());
}

Inbox::Taken Inbox::deliver() {
  Taken result = Taken::fresh;
  if (delivering_) return result;
  delivering_ = true;
  while (result == Taken::fresh && !pending_.empty() && pending_.front().data.end() <= landed()) {
    Pending due = std::move(pending_.front());
    pending_.pop_front();
    if (!is_placed_at_once(due.data.kind)) due.data.payload = due.payload;
    result = apply(due.data);
  }
  delivering_ = false;
  return result;
}

/// A chunk that was sent again in smaller parts may be here twice, whole and in parts. Then it has
/// the same end as its last part, and comes before that.
Inbox::Taken Inbox::apply(const Data& data) {
  if (data.kind == Kind::message) return apply_message(data);
  if (data.end() <= told_) return Taken::fresh;
  told_ = data.end();
  switch (data.kind) {
    case Kind::small_write: {
      std::byte* place = place_of(data, data.payload.size());
      if (place == nullptr) return Taken::bad_memory;
      if (!data.payload.empty()) std::memcpy(place, data.payload.data(), data.payload.size());
      break;
    }
    case Kind::read_request: {
      ReadRequest request;
      if (!parse_read_request(data.payload, &request)) return Taken::bad_packet;
      return events_.on_read_request(request);
    }
    case Kind::read_data:
      return finish_read(data);
    case Kind::message:
    case Kind::write:
      break;
  }
  if ((data.flags & kImmediate) != 0) events_.on_landed_immediate(data.immediate);
  return Taken::fresh;
}

Inbox::Taken Inbox::apply_message(const Data& data) {
  if ((data.flags & kFirst) != 0 && data.position >= message_next_) {
    message_.clear();
    message_next_ = data.position;
  }
  // The rest is in another part, or was here before.
  if (data.position > message_next_ || data.end() <= message_next_) return Taken::fresh;
  const auto rest =
      data.payload.empty() ? data.payload : data.payload.subspan(message_next_ - data.position);
  if (message_.size() + rest.size() > kMaxMessage) return Taken::bad_packet;
  message_.insert(message_.end(), rest.begin(), rest.end());
  message_next_ = data.end();
  if ((data.flags & kLast) != 0) events_.on_landed_message(message_);
  return Taken::fresh;
}

std::optional<std::uint64_t> Inbox::expect_read(std::byte* to, std::size_t size,
                                                std::uint64_t context) {
  Read& read = reads_[next_read_ % kReadDepth];
  if (read.active) return std::nullopt;
  read = {next_read_, to, size, context, true};
  return next_read_++;
}

Inbox::Taken Inbox::finish_read(const Data& data) {
  Read& read = reads_[data.key % kReadDepth];
  if (!read.active || read.number != data.key) return Taken::bad_packet;
  if (data.address + data.payload.size() != read.size) return Taken::bad_packet;
  read.active = false;
  return events_.on_read_done(read.number, read.context);
}

std::optional<Inbox::Forecast> Inbox::forecast() const noexcept {
  const std::size_t chunk = last_.datagrams > 1 ? last_.chunk : last_.payload.size();
  if (chunk < kLeastDirect || last_.left == 0) return std::nullopt;
  if (last_.end() != received_.highest()) return std::nullopt;
  Forecast forecast;
  forecast.next.kind = last_.kind;
  forecast.next.key = last_.key;
  forecast.next.address = last_.address + last_.payload.size();
  forecast.next.position = last_.end();
  forecast.left = last_.left;
  forecast.chunk = chunk;
  forecast.place = place_of(forecast.next, forecast.left);
  return forecast.place == nullptr ? std::nullopt : std::optional(forecast);
}

std::optional<Inbox::Forecast> Inbox::forecast_from(const Data& data) const noexcept {
  if (!is_placed_at_once(data.kind) || data.payload.size() < kLeastDirect) return std::nullopt;
  if (data.position < received_.highest() || check(data) != Taken::fresh) return std::nullopt;
  Forecast forecast;
  forecast.next = data;
  forecast.left = data.payload.size() + data.left;
  forecast.chunk = data.payload.size();
  forecast.place = place_of(data, forecast.left);
  return forecast.place == nullptr ? std::nullopt : std::optional(forecast);
}

}  // namespace grainfabric::transport::udp
