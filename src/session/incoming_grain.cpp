// SPDX-License-Identifier: Apache-2.0
#include "session/incoming_grain.hpp"

namespace grainfabric {

IncomingRing::IncomingRing(std::size_t slots, std::size_t capacity, const Placement& placement)
    : slots_(slots),
      capacity_(capacity),
      region_(Region::create(slots * slot_stride(capacity), "grainfabric-ring", placement)) {}

void IncomingRing::on_released(std::function<void()> wake) {
  auto shared = wake ? std::make_shared<const std::function<void()>>(std::move(wake)) : nullptr;
  const std::lock_guard lock(mutex_);
  wake_ = std::move(shared);
}

void IncomingRing::take_released(std::vector<std::uint16_t>* slots) {
  const std::lock_guard lock(mutex_);
  released_.swap(*slots);
}

void IncomingRing::keep(UniqueFd lifeline) {
  const std::lock_guard lock(mutex_);
  lifeline_ = std::move(lifeline);
}

void IncomingRing::release(std::uint16_t slot) {
  std::shared_ptr<const std::function<void()>> wake;
  {
    const std::lock_guard lock(mutex_);
    if (!wake_) return;  // the session is over; nobody wants the credit
    if (released_.empty()) wake = wake_;
    released_.push_back(slot);
  }
  if (wake) (*wake)();
}

}  // namespace grainfabric
