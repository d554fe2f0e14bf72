// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/bounded_locks.hpp"

#include <dlfcn.h>

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

/// The C library's own functions. A sanitizer that puts itself before them does not look at what
/// libfabric calls, and so would see locks here that are never unlocked.
struct SpinLocks {
  decltype(&::pthread_spin_lock) lock = &::pthread_spin_lock;
  decltype(&::pthread_spin_trylock) try_lock = &::pthread_spin_trylock;
  decltype(&::pthread_spin_init) init = &::pthread_spin_init;

  SpinLocks() {
    void* library = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return;
    find(library, "pthread_spin_lock", &lock);
    find(library, "pthread_spin_trylock", &try_lock);
    find(library, "pthread_spin_init", &init);
    ::dlclose(library);  // it stays, as everybody uses it
  }

 private:
  template <typename Function>
  static void find(void* library, const char* name, Function* function) {
    if (void* found = ::dlsym(library, name)) *function = reinterpret_cast<Function>(found);
  }
};

const SpinLocks& libc() {
  static const SpinLocks functions;
  return functions;
}

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
  if (bounds == nullptr) return libc().lock(spinlock);
  for (int i = 0; i < kSpins; ++i) {
    if (libc().try_lock(spinlock) == 0) return 0;
  }
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (libc().try_lock(spinlock) == 0) return 0;
    std::this_thread::sleep_for(kPause);
  }
  // The holder is dead, or is not to find its lock again: this one is new.
  bounds->forced_ = true;
  libc().init(spinlock, PTHREAD_PROCESS_SHARED);
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
