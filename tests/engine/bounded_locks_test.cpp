// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/bounded_locks.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <rdma/fabric.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include "built.hpp"
#include "transport/ofi/import_binding.hpp"
#include "transport/ofi/limits.hpp"

/// A lock in shared memory whose holder never comes back.
namespace grainfabric::transport::ofi {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class BoundedLocksTest : public testing::Test {
 protected:
  using Operation = int (*)(pthread_spinlock_t*);

  static void SetUpTestSuite() {
    void* library = ::dlopen(test::built("libgrainfabric-lock-user.so").c_str(), RTLD_NOW);
    ASSERT_NE(library, nullptr) << ::dlerror();
    const auto find = [&](const char* name) {
      return reinterpret_cast<Operation>(::dlsym(library, name));
    };
    take = find("lock_user_take");
    try_take = find("lock_user_try");
    release = find("lock_user_release");
    ASSERT_TRUE(take != nullptr && try_take != nullptr && release != nullptr);
    BoundedLocks::lead_here(reinterpret_cast<const void*>(take));
  }

  void SetUp() override {
    void* memory = ::mmap(nullptr, sizeof(pthread_spinlock_t), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    lock_ = static_cast<pthread_spinlock_t*>(memory);
    ASSERT_EQ(::pthread_spin_init(lock_, PTHREAD_PROCESS_SHARED), 0);
  }

  void TearDown() override { ::munmap(const_cast<int*>(lock_), sizeof(pthread_spinlock_t)); }

  /// Holds the lock for as long from now, on a thread of its own.
  std::future<void> held_for(std::chrono::milliseconds time) {
    std::promise<void> taken;
    auto released = std::async(std::launch::async, [this, time, &taken] {
      take(lock_);
      taken.set_value();
      std::this_thread::sleep_for(time);
      is_released_ = true;
      release(lock_);
    });
    taken.get_future().wait();
    return released;
  }

  static Operation take;
  static Operation try_take;
  static Operation release;
  pthread_spinlock_t* lock_ = nullptr;
  std::atomic<bool> is_released_{false};
};

BoundedLocksTest::Operation BoundedLocksTest::take = nullptr;
BoundedLocksTest::Operation BoundedLocksTest::try_take = nullptr;
BoundedLocksTest::Operation BoundedLocksTest::release = nullptr;

TEST_F(BoundedLocksTest, a_lock_whose_holder_was_killed_is_taken_after_a_while) {
  const pid_t holder = ::fork();
  if (holder == 0) {
    take(lock_);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(holder, &status, 0), holder);
  ASSERT_TRUE(WIFSIGNALED(status));

  const auto start = Clock::now();
  {
    const BoundedLocks locks(true);
    EXPECT_EQ(take(lock_), 0);
    EXPECT_TRUE(locks.were_forced());
  }
  EXPECT_GE(Clock::now() - start, kLockPatience);
  EXPECT_EQ(try_take(lock_), EBUSY) << "it is held now";
  release(lock_);
  const BoundedLocks locks(true);
  EXPECT_EQ(take(lock_), 0);
  EXPECT_FALSE(locks.were_forced());
}

TEST_F(BoundedLocksTest, a_lock_that_is_released_in_time_is_waited_for) {
  const auto holder = held_for(100ms);
  const BoundedLocks locks(true);
  EXPECT_EQ(take(lock_), 0);
  EXPECT_TRUE(is_released_);
  EXPECT_FALSE(locks.were_forced());
}

TEST_F(BoundedLocksTest, whoever_did_not_ask_waits_as_ever) {
  const auto holder = held_for(kLockPatience + 300ms);
  const BoundedLocks locks(false);
  EXPECT_EQ(take(lock_), 0);
  EXPECT_TRUE(is_released_);
  EXPECT_FALSE(locks.were_forced());
}

TEST_F(BoundedLocksTest, they_nest_and_each_counts_for_itself) {
  const BoundedLocks outer(true);
  take(lock_);
  {
    const BoundedLocks inner(true);
    EXPECT_EQ(take(lock_), 0);
    EXPECT_TRUE(inner.were_forced());
  }
  EXPECT_FALSE(outer.were_forced());
  EXPECT_EQ(take(lock_), 0);
  EXPECT_TRUE(outer.were_forced());
}

TEST(ImportBinding, finds_what_the_libfabric_of_this_host_locks_with) {
  EXPECT_TRUE(bind_import(reinterpret_cast<const void*>(&fi_freeinfo), "pthread_spin_lock",
                          reinterpret_cast<void*>(&pthread_spin_lock)));
}

TEST(ImportBinding, says_when_there_is_no_such_import) {
  EXPECT_FALSE(bind_import(reinterpret_cast<const void*>(&fi_freeinfo), "no_such_function",
                           reinterpret_cast<void*>(&pthread_spin_lock)));
  int on_no_library = 0;
  EXPECT_FALSE(bind_import(&on_no_library, "malloc", reinterpret_cast<void*>(&pthread_spin_lock)));
}

}  // namespace
}  // namespace grainfabric::transport::ofi
