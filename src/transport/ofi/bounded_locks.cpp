// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/bounded_locks.hpp"

#include <chrono>
#include <mutex>
#include <thread>

#include "base/log.hpp"
#include "transport/ofi/import_binding.hpp"
#include "transport/ofi/limits.hpp"

namespace grainfabric::transport::ofi {
namespace {

constexpr int kSpins = 200;  // far more than a lock takes that nobody copies under
constexpr std::chrono::microseconds kPause{20};

thread_local BoundedLocks* innermost = nullptr;

}  // namespace

BoundedLocks::BoundedLocks(bool applies) noexcept : applies_(applies), outer_(innermost) {
  if (applies_) innermost = this;
}

BoundedLocks::~BoundedLocks() {
  if (applies_) innermost = outer_;
}

int BoundedLocks::lock(pthread_spinlock_t* spinlock) {
  BoundedLocks* bounds = innermost;
  if (bounds == nullptr) return ::pthread_spin_lock(spinlock);
  for (int i = 0; i < kSpins; ++i) {
    if (::pthread_spin_trylock(spinlock) == 0) return 0;
  }
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (::pthread_spin_trylock(spinlock) == 0) return 0;
    std::this_thread::sleep_for(kPause);
  }
  // The holder is dead, or is not to find its lock again: this one is new.
  bounds->forced_ = true;
  ::pthread_spin_init(spinlock, PTHREAD_PROCESS_SHARED);
  return lock(spinlock);
}

void BoundedLocks::lead_here(const void* provider_function) {
  static std::mutex mutex;
  const std::lock_guard guard(mutex);
  if (!bind_import(provider_function, "pthread_spin_lock", reinterpret_cast<void*>(&lock))) {
    log(LogLevel::info, "ofi",
        "This libfabric does not call pthread_spin_lock: a killed peer's locks are its own affair");
  }
}

}  // namespace grainfabric::transport::ofi
