// SPDX-License-Identifier: Apache-2.0
#include "session/rendezvous.hpp"

namespace grainfabric {
namespace {

using std::chrono::microseconds;

/// Looking again and again, before sleeping: about what it costs to sleep and to be woken. Only in
/// a stream that is so quick that it would pay the last time: at 60 a second nobody spins.
constexpr microseconds kSpin{50};
/// Attempts of who does not wait, while the loop is at work, which it is for microseconds as a
/// rule.
constexpr int kLooks = 200;
/// As EventLoop has it for Polling::adaptive.
constexpr microseconds kAdaptiveSpin{200};

}  // namespace

Rendezvous::Clock::duration Rendezvous::spin_time() const noexcept {
  switch (polling_) {
    case Polling::busy:
      return std::chrono::hours(1);
    case Polling::adaptive:
      return kAdaptiveSpin;
    case Polling::event:
      break;
  }
  return last_wait_ < kSpin ? kSpin : Clock::duration{};
}

/// Between two looks. Not sched_yield(): on a busy host that gives a whole time slice away, where
/// one who sleeps is woken ahead of others.
void Rendezvous::relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield");
#endif
}

void Rendezvous::notify() {
  changed.notify_all();
  if (!has_doorbell_) return;
  std::shared_ptr<Doorbell> doorbell;
  {
    const std::lock_guard lock(mutex);
    doorbell = doorbell_;
  }
  if (doorbell) doorbell->ring();
}

void Rendezvous::attend_to(transport::Endpoint* endpoint) {
  endpoint_ = endpoint;
  std::shared_ptr<Doorbell> doorbell = endpoint != nullptr ? endpoint->doorbell() : nullptr;
  {
    const std::lock_guard lock(mutex);
    doorbell_.swap(doorbell);
    has_doorbell_ = doorbell_ != nullptr;
  }
  changed.notify_all();
  if (doorbell) doorbell->ring();
}

Rendezvous::Look Rendezvous::look(std::chrono::milliseconds attendance) {
  bool done = false;
  const bool looked =
      loop_->try_turn([&] { done = endpoint_ != nullptr && endpoint_->attend(attendance); });
  if (!looked) return Look::loop_is_at_work;
  return done ? Look::done : Look::nothing;
}

void Rendezvous::look(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds attendance) {
  if (!doorbell_) return;
  lock.unlock();
  for (int i = 0; i < kLooks && look(attendance) == Look::loop_is_at_work; ++i) {
    relax();
  }
  lock.lock();
}

bool Rendezvous::prepare_doorbell() {
  bool prepared = false;
  loop_->try_turn([&] { prepared = endpoint_ != nullptr && endpoint_->prepare_doorbell(); });
  return prepared;
}

/// The loop serves the endpoint again, and is told of what comes.
void Rendezvous::hand_back() {
  loop_->post([self = shared_from_this()] {
    if (self->endpoint_ != nullptr) self->endpoint_->attend(std::chrono::milliseconds(0));
  });
}

}  // namespace grainfabric
