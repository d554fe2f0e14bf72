// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/event_loop.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

/// Where a streaming thread waits for its session. As a rule the loop thread is the one that serves
/// the data connection, and says when something has changed. Where the endpoint has a doorbell the
/// streaming thread serves it itself, in turns of the loop: between threads that sleep a picture
/// takes longer than all else that is done with it.
class Rendezvous : public std::enable_shared_from_this<Rendezvous> {
 public:
  using Clock = std::chrono::steady_clock;

  /// Guards what is waited for.
  std::mutex mutex;

  Rendezvous(std::shared_ptr<EventLoop> loop, Polling polling)
      : loop_(std::move(loop)), polling_(polling) {}

  /// Wakes the streaming thread, after a change of what it waits for. Without the mutex; any
  /// thread.
  void notify();
  /// The endpoint to serve, null when there is none any more. In a turn of the loop, without the
  /// mutex.
  void attend_to(transport::Endpoint* endpoint);

  // The streaming thread's.
  /// Whether it may serve the endpoint. With the mutex.
  [[nodiscard]] bool attends() const noexcept { return doorbell_ != nullptr; }
  /// Runs `task` in a turn of the loop and serves the endpoint after it. False, and nothing was
  /// run, if the loop is at work. Without the mutex.
  template <class Task>
  bool attend_after(std::chrono::milliseconds how_long, Task&& task) {
    return loop_->try_turn([&] {
      task();
      if (endpoint_ != nullptr) endpoint_->attend(how_long);
    });
  }
  /// Looks what has come, without waiting. `lock` is on the mutex, and open meanwhile.
  void look(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds attendance);
  /// Waits until `ready()`, with `lock` on the mutex, or `deadline`. Returns whether it is ready.
  /// `attendance`: as Endpoint::attend() has it, for the time after that.
  template <class Ready>
  bool wait_until(std::unique_lock<std::mutex>& lock, Clock::time_point deadline,
                  std::chrono::milliseconds attendance, const Ready& ready);

  /// For those that wait for the loop thread's doings alone.
  std::condition_variable changed;

 private:
  enum class Look { done, nothing, loop_is_at_work };
  static constexpr std::chrono::microseconds kPause{100};
  Look look(std::chrono::milliseconds attendance);
  bool prepare_doorbell();
  void hand_back();
  [[nodiscard]] Clock::duration spin_time() const noexcept;
  static void relax() noexcept;

  const std::shared_ptr<EventLoop> loop_;
  const Polling polling_;
  transport::Endpoint* endpoint_ = nullptr;  // in turns of the loop
  std::shared_ptr<Doorbell> doorbell_;       // mutex
  std::atomic<bool> has_doorbell_{false};    // the same, for a look without it
  Clock::duration last_wait_{};              // streaming thread
};

template <class Ready>
bool Rendezvous::wait_until(std::unique_lock<std::mutex>& lock, Clock::time_point deadline,
                            std::chrono::milliseconds attendance, const Ready& ready) {
  if (ready()) {
    last_wait_ = {};
    return true;
  }
  const auto begin = Clock::now();
  const auto spin_until = begin + spin_time();
  auto now = begin;
  bool at_doorbell = false;  // and nobody has looked since
  while (!ready() && now < deadline) {
    const std::shared_ptr<Doorbell> doorbell = doorbell_;
    if (!doorbell) {
      changed.wait_until(lock, deadline);
      now = Clock::now();
      continue;
    }
    lock.unlock();
    const Look found = look(attendance);
    at_doorbell = at_doorbell && found == Look::loop_is_at_work;
    now = Clock::now();
    if (found != Look::done && now < spin_until) {
      relax();
    } else if (found == Look::nothing) {
      at_doorbell = prepare_doorbell();
      if (!at_doorbell) std::this_thread::sleep_for(kPause);  // the loop has its end to tell
    } else if (found == Look::loop_is_at_work) {
      hand_back();
      at_doorbell = false;
    }
    lock.lock();
    if (ready()) break;
    if (at_doorbell) {
      lock.unlock();
      doorbell->sleep(deadline);
      lock.lock();
    } else if (found == Look::loop_is_at_work && now >= spin_until) {
      changed.wait_until(lock, deadline);
    }
    now = Clock::now();
  }
  if (at_doorbell) {
    lock.unlock();
    if (look(attendance) == Look::loop_is_at_work) hand_back();
    lock.lock();
  }
  last_wait_ = now - begin;
  return ready();
}

}  // namespace grainfabric
