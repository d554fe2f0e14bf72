// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/responder.hpp"

#include <algorithm>

#include "tool/bench/limits.hpp"
#include "tool/bench/pattern.hpp"
#include "transfer/rail.hpp"

namespace grainfabric::tool {

Responder::Responder(EventLoop& loop, transport::Domain& domain, const Round& round,
                     Polling polling, Events& events)
    : loop_(loop),
      round_(round),
      events_(events),
      memory_(Region::create(round.size * round.depth, "grainfabric-bench")),
      slots_(round.depth) {
  // Touched before it counts; with a pattern, what the client is to read.
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    Pattern(round_.seed, slot).fill(bytes_of(slot));
  }
  registration_ = domain.register_memory(memory_->bytes(), transport::Access::remote);
  endpoint_ = domain.accept(token_, *this);
  watch_ = loop.watch(*endpoint_, polling);
}

Responder::~Responder() {
  watch_.reset();
  // Before the registration: nothing may land under a key that is going.
  endpoint_.reset();
}

Ready Responder::ready() const {
  return {registration_->remote(), endpoint_->address(), token_};
}

Result Responder::result() const {
  return {messages_, verified_, cpu_.nanoseconds()};
}

std::span<std::byte> Responder::bytes_of(std::size_t slot) const {
  return memory_->bytes().subspan(slot * round_.size, round_.size);
}

void Responder::on_immediate(std::uint32_t immediate) {
  const std::size_t index = immediate & 0xFFFFU;
  if (round_.operation != Operation::write || index >= slots_.size()) {
    fail(Error(ErrorCode::protocol, "The client announced a message that it must not write"));
    return;
  }
  if (++slots_[index].announced < round_.pieces) return;
  slots_[index].announced = 0;
  take(index, bytes_of(index));
}

void Responder::on_message(std::span<const std::byte> message) {
  if (round_.operation != Operation::send || message.size() != round_.size) {
    fail(Error(ErrorCode::protocol, "The client sent a message of " +
                                        std::to_string(message.size()) + " bytes out of turn"));
    return;
  }
  take(messages_ % slots_.size(), message);  // whichever: the client knows the order
}

void Responder::on_closed(const Error& reason) {
  fail(reason);
}

void Responder::take(std::size_t index, std::span<const std::byte> bytes) {
  if (failed_) return;
  const bool sent = round_.operation == Operation::send;
  const std::uint64_t number = sent ? messages_ : slots_[index].landed++ * slots_.size() + index;
  ++messages_;
  if (round_.verify) {
    if (!cpu_.without([&] { return Pattern(round_.seed, number).matches(bytes); })) {
      fail(Error(ErrorCode::io, "Message " + std::to_string(number) + " of " +
                                    std::to_string(round_.size) +
                                    " bytes arrived with other bytes than were sent"));
      return;
    }
    ++verified_;
  }
  owed_.push_back(static_cast<std::uint16_t>(index));
  acknowledge();
}

void Responder::acknowledge() {
  while (!owed_.empty() && !failed_) {
    const std::uint64_t count = messages_;
    switch (endpoint_->inject_write(std::as_bytes(std::span(&count, 1)),
                                    round_.acknowledgement.address, round_.acknowledgement.key,
                                    make_immediate(owed_.front(), 1))) {
      case transport::Posted::ok:
        owed_.pop_front();
        break;
      case transport::Posted::again:
        retry_ = loop_.after(kRetry, [this] { acknowledge(); });
        return;
      case transport::Posted::failed:
        return;  // on_closed() says why
    }
  }
}

void Responder::fail(const Error& reason) {
  if (failed_) return;
  failed_ = true;
  events_.on_responder_failed(reason);
}

}  // namespace grainfabric::tool
