// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
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
/// connection manager's event queue. All members are called in turns of the loop.
class Pollable {
 public:
  virtual ~Pollable() = default;
  /// Appends the descriptors to poll for input. May change over time; asked again after each
  /// progress(): one that is closed must be missing then before its number may come back, and one
  /// that has duplicates before it is closed. None: there is nothing to sleep on, the loop polls by
  /// time instead.
  virtual void append_fds(std::vector<int>* fds) const = 0;
  /// Prepares to sleep on them. False: something is pending already, call progress() instead
  /// (libfabric's fi_trywait discipline).
  virtual bool arm() = 0;
  /// Does what is to be done, without blocking. Returns whether anything was done. Spurious
  /// calls are allowed. May call back into its user, who must not destroy it in there, but may
  /// post() its destruction.
  virtual bool progress() = 0;
};

/// One thread with a GMainContext that serves the control sockets, timers and completion queues of
/// any number of sessions. It has the turn except while it sleeps; who has the turn is, for all
/// that belongs to the loop thread, that thread.
class GRAINFABRIC_API EventLoop : public std::enable_shared_from_this<EventLoop> {
 public:
  /// The loop that sessions share unless told otherwise, one for each `cpus`; lives as long as
  /// somebody holds it.
  static std::shared_ptr<EventLoop> shared(const std::string& cpus = {});

  /// `cpus`: those that the thread may run on, "2" or "0-3,8"; empty: any. Throws
  /// Error(invalid_argument) for what is no such list, or has none that this process may use.
  explicit EventLoop(const std::string& cpus = {});
  /// Runs what was posted before, then joins the thread. Not from the loop thread itself, except
  /// that the thread is then left to end alone.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Runs `task` on the loop thread, after all posted before it. Any thread; never blocks.
  void post(std::function<void()> task);
  /// The same for one that is posted often: nothing is allocated for it, and it touches the watches
  /// whose Pollables it uses.
  using Task = std::shared_ptr<const std::function<void()>>;
  void post(Task task);
  /// Runs `task` on the loop thread and waits for its end; what it throws is thrown here. Any
  /// thread; in a turn of the loop it runs at once. Not while holding a lock that a task may want.
  void call(const std::function<void()>& task);
  [[nodiscard]] bool on_loop_thread() const noexcept;

  /// Runs `task` here and now if the loop sleeps, in its turn: whatever runs on the loop thread
  /// waits meanwhile, so that `task` may use what belongs to that. False, and nothing is run, if
  /// the loop is at work, or the calling thread has a turn already. Any thread; never blocks.
  template <class Task>
  bool try_turn(Task&& task) {
    if (!begin_turn()) return false;
    const Turn turn(*this);
    std::forward<Task>(task)();
    return true;
  }

  /// For GIO: sources attached here run on the loop thread.
  [[nodiscard]] GMainContext* context() const noexcept;

  /// Something that the loop does, until this object is destroyed. In turns of the loop.
  class GRAINFABRIC_API Source {
   public:
    Source() noexcept;
    Source(Source&&) noexcept;
    Source& operator=(Source&&) noexcept;
    ~Source();
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    void reset() noexcept;
    /// Of a watch: its Pollable was used otherwise than by progress(), and is to be armed anew
    /// before the loop sleeps. Needless within a task that is not a Task.
    void touch() const;

   private:
    friend class EventLoop;
    struct Handle;
    explicit Source(std::unique_ptr<Handle> handle) noexcept;
    std::unique_ptr<Handle> handle_;
  };

  /// Calls `task` once after `delay` (at least; milliseconds are the resolution).
  [[nodiscard]] Source after(std::chrono::milliseconds delay, std::function<void()> task);
  /// Calls `task` every `interval`.
  [[nodiscard]] Source every(std::chrono::milliseconds interval, std::function<void()> task);
  /// Drives `pollable` (borrowed; outlives the Source).
  [[nodiscard]] Source watch(Pollable& pollable, Polling polling);

 private:
  struct State;
  struct Turn {  // ends with this object
    explicit Turn(EventLoop& owner) noexcept : loop(owner) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { loop.end_turn(); }
    EventLoop& loop;
  };
  bool begin_turn() noexcept;
  void end_turn() noexcept;

  std::shared_ptr<State> state_;  // shared with the thread
};

}  // namespace grainfabric
