// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/export.hpp"

typedef struct _GMainContext GMainContext;  // NOLINT(modernize-use-using): GLib's own spelling

namespace grainfabric {

/// How an event loop learns that a Pollable has something to do.
enum class Polling {
  event,     ///< Sleep in poll(2) until a descriptor is ready: an idle stream costs nothing.
  adaptive,  ///< Spin for a short while after the last activity, then sleep.
  busy,      ///< Always spin: the least latency for a whole core.
};

/// Something with descriptors that makes progress when they are ready: a completion queue, a
/// connection manager's event queue. All members are called on the loop thread only.
class Pollable {
 public:
  virtual ~Pollable() = default;
  /// Descriptors to poll for input. May change over time; asked again before each sleep.
  /// Empty: there is nothing to sleep on, the loop polls by time instead.
  virtual std::vector<int> fds() const = 0;
  /// Prepares to sleep on fds(). False: something is pending already, call progress() instead
  /// (libfabric's fi_trywait discipline).
  virtual bool arm() = 0;
  /// Does what is to be done, without blocking. Returns whether anything was done. Spurious
  /// calls are allowed. May call back into its user, who must not destroy it in there, but may
  /// post() its destruction.
  virtual bool progress() = 0;
};

/// One thread with a GMainContext that serves the control sockets, timers and completion queues of
/// any number of sessions.
class GRAINFABRIC_API EventLoop : public std::enable_shared_from_this<EventLoop> {
 public:
  /// The loop that sessions share unless told otherwise; lives as long as somebody holds it.
  static std::shared_ptr<EventLoop> shared();

  EventLoop();
  /// Runs what was posted before, then joins the thread. Not from the loop thread itself, except
  /// that the thread is then left to end alone.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Runs `task` on the loop thread, after all posted before it. Any thread; never blocks.
  void post(std::function<void()> task);
  /// Runs `task` on the loop thread and waits for its end; what it throws is thrown here. Any
  /// thread; on the loop thread it runs at once. Not while holding a lock that a task may want.
  void call(const std::function<void()>& task);
  [[nodiscard]] bool on_loop_thread() const noexcept;

  /// For GIO: sources attached here run on the loop thread.
  [[nodiscard]] GMainContext* context() const noexcept;

  /// A source of the loop that is removed with this object. Create and destroy on the loop thread.
  class GRAINFABRIC_API Source {
   public:
    Source() noexcept;
    Source(Source&&) noexcept;
    Source& operator=(Source&&) noexcept;
    ~Source();
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    void reset() noexcept;

   private:
    friend class EventLoop;
    explicit Source(void* handle) noexcept;
    void* handle_ = nullptr;  // GSource*
  };

  /// Calls `task` once after `delay` (at least; milliseconds are the resolution).
  [[nodiscard]] Source after(std::chrono::milliseconds delay, std::function<void()> task);
  /// Calls `task` every `interval`.
  [[nodiscard]] Source every(std::chrono::milliseconds interval, std::function<void()> task);
  /// Drives `pollable` (borrowed; outlives the Source).
  [[nodiscard]] Source watch(Pollable& pollable, Polling polling);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread
};

}  // namespace grainfabric
