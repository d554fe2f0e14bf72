// SPDX-License-Identifier: Apache-2.0
#include "session/incoming_grain.hpp"

namespace grainfabric {

IncomingRing::IncomingRing(std::size_t slots, std::size_t capacity)
    : slots_(slots),
      capacity_(capacity),
      region_(Region::create(slots * slot_stride(capacity), "grainfabric-ring")) {}

void IncomingRing::on_released(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

std::vector<std::uint16_t> IncomingRing::take_released() {
  const std::lock_guard lock(mutex_);
  return std::exchange(released_, {});
}

void IncomingRing::keep(UniqueFd lifeline) {
  const std::lock_guard lock(mutex_);
  lifeline_ = std::move(lifeline);
}

void IncomingRing::release(std::uint16_t slot) {
  const std::lock_guard lock(mutex_);
  if (!wake_) return;  // the session is over; nobody wants the credit
  const bool first = released_.empty();
  released_.push_back(slot);
  if (first) wake_();
}

}  // namespace grainfabric
