// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

namespace grainfabric::transport::ofi {

/// Bounds the waits of this thread for locks that a provider shares with other processes, as long
/// as it lives. libfabric's shm keeps its queues under pthread_spin_lock in shared memory, and a
/// target holds its own while it copies: one that is killed in there leaves its peer spinning for
/// ever (seen on 1.17: one of three kills under load). Its calls of pthread_spin_lock are therefore
/// led here (import_binding.hpp), where a lock that is not released within kLockPatience is taken
/// from its holder. The peer is dead or stopped then, the queues may be in any state: whoever sees
/// were_forced() closes the connection. Threads without a BoundedLocks wait as ever.
///
/// On the stack of the thread that calls libfabric; they nest, and each counts for itself.
class BoundedLocks {
 public:
  explicit BoundedLocks(bool applies) noexcept;
  ~BoundedLocks();
  BoundedLocks(const BoundedLocks&) = delete;
  BoundedLocks& operator=(const BoundedLocks&) = delete;

  /// Leads the locks of the library that holds `provider_function` here. Any thread, any number of
  /// times.
  static void lead_here(const void* provider_function);

  [[nodiscard]] bool were_forced() const noexcept { return forced_; }

 private:
  static int lock(pthread_spinlock_t* spinlock);

  const bool applies_;
  bool forced_ = false;
  BoundedLocks* outer_;
};

}  // namespace grainfabric::transport::ofi
