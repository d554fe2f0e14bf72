// SPDX-License-Identifier: Apache-2.0
/// A library that takes locks it shares with other processes, as libfabric does.
#include <pthread.h>

extern "C" __attribute__((visibility("default"))) int lock_user_take(pthread_spinlock_t* lock) {
  return pthread_spin_lock(lock);
}

extern "C" __attribute__((visibility("default"))) int lock_user_try(pthread_spinlock_t* lock) {
  return pthread_spin_trylock(lock);
}

extern "C" __attribute__((visibility("default"))) int lock_user_release(pthread_spinlock_t* lock) {
  return pthread_spin_unlock(lock);
}
