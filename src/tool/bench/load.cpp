// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/load.hpp"

#include <string>

#include "tool/bench/limits.hpp"
#include "tool/bench/pattern.hpp"
#include "tool/text.hpp"

namespace grainfabric::tool {

Load::Load(EventLoop& loop, transport::Domain& domain, const LoadOptions& options, Events& events)
    : domain_(domain),
      loop_(loop),
      options_(options),
      events_(events),
      seed_(random_u64()),
      slots_(options.depth) {
  const transport::Capabilities& can = domain.capabilities();
  if (options.operation == Operation::send && options.size > can.max_send) {
    throw Error(ErrorCode::invalid_argument,
                can.provider + " sends at most " + std::to_string(can.max_send) +
                    " bytes at once, not " + std::to_string(options.size),
                "Use smaller --sizes, or --operation write.");
  }
  memory_ = Region::create(options.size * options.depth, "grainfabric-bench");
  word_ = Region::create(sizeof(std::uint64_t), "grainfabric-acknowledgements");
  // Touched before it counts.
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    Pattern(seed_, slot).fill(memory_->bytes().subspan(slot * options.size, options.size));
  }
  if (can.local_registration) {
    memory_registration_ = domain.register_memory(memory_->bytes(), transport::Access::local);
  }
  word_registration_ = domain.register_memory(word_->bytes(), transport::Access::remote);
}

Load::~Load() {
  care_.reset();
  watch_.reset();
  endpoint_.reset();  // before the registrations
}

Round Load::round() const {
  std::uint64_t pieces = 1;
  if (!domain_.capabilities().ordered) {
    pieces = (options_.size + options_.piece_size - 1) / options_.piece_size;
  }
  return {
      options_.operation,          options_.size, options_.depth, pieces, options_.verify, seed_,
      word_registration_->remote()};
}

void Load::connect(const Ready& ready) {
  if (ready.memory.length < options_.size * options_.depth) {
    throw Error(ErrorCode::protocol, "The server's memory is shorter than its slots");
  }
  endpoint_ = domain_.connect(ready.address, ready.token, *this);
  performer_ = make_performer(
      options_.operation, *endpoint_, domain_.capabilities(), RailOptions{options_.piece_size},
      {memory_->bytes(), memory_registration_.get(), ready.memory, options_.size},
      [this](std::size_t slot) { on_left(slot); });
  watch_ = loop_.watch(*endpoint_, options_.polling);
}

void Load::on_connected() {
  last_progress_ = Clock::now();
  care_ = loop_.every(kRetry, [this] { look_after(); });
  enter(Phase::warming, slots_.size());
}

void Load::run() {
  cpu_ = CpuClock();
  enter(Phase::running, options_.iterations == 0 ? UINT64_MAX : options_.iterations);
}

void Load::enter(Phase phase, std::uint64_t messages) {
  phase_ = phase;
  begun_ = 0;
  wanted_ = messages;
  phase_begun_ = Clock::now();
  for (std::size_t slot = 0; slot < slots_.size() && wants_more(); ++slot) {
    if (!slots_[slot].busy()) begin(slot);  // it may be, where a completion came inside the call
  }
}

bool Load::wants_more() const {
  if (begun_ >= wanted_) return false;
  const bool by_time = phase_ == Phase::running && options_.iterations == 0;
  return !by_time || begun_ == 0 || Clock::now() - phase_begun_ < options_.duration;
}

void Load::begin(std::size_t index) {
  Slot& slot = slots_[index];
  const bool sends = options_.operation == Operation::send;
  const std::uint64_t number = sends ? sends_++ : slot.used++ * slots_.size() + index;
  if (options_.verify) {
    cpu_.without([&] {
      const auto bytes = memory_->bytes().subspan(index * options_.size, options_.size);
      if (options_.operation == Operation::read) {
        std::fill(bytes.begin(), bytes.end(), std::byte{0});
      } else {
        Pattern(seed_, number).fill(bytes);
      }
    });
  }
  if (sends) sent_.push_back(index);
  slot.unacknowledged = options_.operation != Operation::read;
  slot.uncompleted = !sends;
  ++begun_;
  ++in_flight_;
  slot.begun = Clock::now();
  performer_->begin(index);
}

void Load::on_completed(std::uint64_t context) {
  last_progress_ = Clock::now();
  performer_->on_completed(context);
}

void Load::on_immediate(std::uint32_t immediate) {
  std::size_t index = immediate & 0xFFFFU;
  if (!sent_.empty()) {
    index = sent_.front();
    sent_.pop_front();
  }
  if (index >= slots_.size() || !slots_[index].unacknowledged) {
    fail(Error(ErrorCode::protocol, "The server acknowledged a message that was not sent"));
    return;
  }
  last_progress_ = Clock::now();
  slots_[index].unacknowledged = false;
  if (!slots_[index].busy()) on_done(index);
}

void Load::on_left(std::size_t index) {
  slots_[index].uncompleted = false;
  if (!slots_[index].busy()) on_done(index);
}

void Load::on_message(std::span<const std::byte>) {
  fail(Error(ErrorCode::protocol, "The server sent a message out of turn"));
}

void Load::on_closed(const Error& reason) {
  fail(reason);
}

bool Load::is_right(std::size_t index) {
  return cpu_.without([&] {
    return Pattern(seed_, index)
        .matches(memory_->bytes().subspan(index * options_.size, options_.size));
  });
}

void Load::on_done(std::size_t index) {
  if (phase_ == Phase::over) return;
  const Slot& slot = slots_[index];
  --in_flight_;
  if (phase_ == Phase::running) {
    measured_.latency.record(static_cast<std::uint64_t>((Clock::now() - slot.begun).count()));
    ++measured_.messages;
  }
  if (options_.verify && options_.operation == Operation::read) {
    if (!is_right(index)) {
      fail(Error(ErrorCode::io, "A read of " + std::to_string(options_.size) +
                                    " bytes brought other bytes than there are"));
      return;
    }
    ++measured_.verified;
  }
  if (wants_more()) begin(index);
  if (in_flight_ == 0) leave_phase();
}

void Load::leave_phase() {
  if (phase_ == Phase::warming) {
    phase_ = Phase::idle;
    events_.on_load_warm();
  } else {
    phase_ = Phase::over;
    measured_.nanoseconds = static_cast<std::uint64_t>((Clock::now() - phase_begun_).count());
    measured_.cpu_nanoseconds = cpu_.nanoseconds();
    events_.on_load_finished();
  }
}

void Load::look_after() {
  performer_->pump();
  if (in_flight_ > 0 && Clock::now() - last_progress_ > kStall) {
    fail(Error(ErrorCode::timed_out,
               "Nothing moved for " + std::to_string(kStall / std::chrono::seconds(1)) +
                   " s with " + std::to_string(in_flight_) + " messages in flight"));
  }
}

void Load::fail(const Error& reason) {
  if (phase_ == Phase::over) return;  // the server closes once it knows that it was all
  phase_ = Phase::over;
  events_.on_load_failed(reason);
}

}  // namespace grainfabric::tool
