// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.hpp"

#include <pthread.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/cpus.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/glib_sources.hpp"
#include "base/watch_set.hpp"

namespace grainfabric {
namespace {

/// The tasks that were posted. They have a lock of their own rather than GLib's, so that
/// ThreadSanitizer sees where threads meet.
class TaskQueue final : public Pollable {
 public:
  /// `ran` is called after tasks of which nobody knows what they used.
  explicit TaskQueue(std::function<void()> ran)
      : ran_(std::move(ran)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!wake_) {
      throw Error::from_errno(errno, "Cannot create an eventfd",
                              "Raise the limit on open files (ulimit -n).");
    }
  }

  /// Any thread. `is_plain`: what it uses is not known.
  void post(EventLoop::Task task, bool is_plain) {
    bool was_empty = false;
    {
      const std::lock_guard lock(mutex_);
      was_empty = tasks_.empty();
      tasks_.push_back({std::move(task), is_plain});
    }
    if (was_empty) wake();
  }
  /// Any thread.
  void wake() const noexcept {
    const std::uint64_t one = 1;
    while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  void append_fds(std::vector<int>* fds) const override { fds->push_back(wake_.get()); }
  bool arm() override { return true; }
  bool progress() override {
    std::uint64_t count = 0;
    while (::read(wake_.get(), &count, sizeof count) < 0 && errno == EINTR) {
    }
    {
      const std::lock_guard lock(mutex_);
      running_.swap(tasks_);
    }
    bool any_plain = false;
    for (Posted& posted : running_) {
      any_plain = any_plain || posted.is_plain;
      (*posted.task)();
      posted.task = nullptr;  // what it captured goes before the next one runs
    }
    running_.clear();
    if (any_plain) ran_();
    return true;
  }

 private:
  struct Posted {
    EventLoop::Task task;
    bool is_plain = false;
  };

  const std::function<void()> ran_;
  const UniqueFd wake_;
  std::mutex mutex_;
  std::vector<Posted> tasks_;
  std::vector<Posted> running_;  // loop thread only
};

}  // namespace

/// Shared by the loop's owner and its thread.
struct EventLoop::State {
  WatchSet watches;
  GlibSources glib{[this] { watches.touch_all(); }};
  TaskQueue tasks{[this] { watches.touch_all(); }};
  std::thread thread;
  std::thread::id thread_id;
  bool stopping = false;  // loop thread only
  std::mutex turn;        // the loop thread's, except while it sleeps

  static thread_local State* in_turn_of;

  static void run(const std::shared_ptr<State>& self) {
    pthread_setname_np(pthread_self(), "grainfabric");
    g_main_context_push_thread_default(self->glib.context());
    self->turn.lock();
    in_turn_of = self.get();
    WatchSet::Watch* const own[] = {self->watches.add(self->tasks, Polling::event),
                                    self->watches.add(self->glib, Polling::event)};
    while (!self->stopping) {
      bool may_sleep = self->watches.arm();
      if (!may_sleep) {  // what is there already is done without asking the kernel for more
        self->watches.serve();
        may_sleep = self->watches.arm();
      }
      in_turn_of = nullptr;
      self->turn.unlock();
      self->watches.wait(may_sleep);
      self->turn.lock();
      in_turn_of = self.get();
      self->watches.serve();
    }
    for (WatchSet::Watch* const watch : own) self->watches.remove(watch);
    in_turn_of = nullptr;
    self->turn.unlock();
    g_main_context_pop_thread_default(self->glib.context());
  }
};

thread_local EventLoop::State* EventLoop::State::in_turn_of = nullptr;

// ---- sources ----------------------------------------------------------------------------------

struct EventLoop::Source::Handle {
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  virtual ~Handle() = default;
  virtual void touch() const {}

  static gboolean run_once(gpointer task) {
    (*static_cast<std::function<void()>*>(task))();
    return G_SOURCE_REMOVE;
  }
  static gboolean run_again(gpointer task) {
    (*static_cast<std::function<void()>*>(task))();
    return G_SOURCE_CONTINUE;
  }

  struct Timer;
  struct Watched;
};

struct EventLoop::Source::Handle::Timer final : Handle {
  Timer(State& state, std::chrono::milliseconds interval, GSourceFunc run,
        std::function<void()> task)
      : source(g_timeout_source_new(static_cast<guint>(interval.count()))) {
    g_source_set_callback(source, run, new std::function<void()>(std::move(task)),
                          [](gpointer own) { delete static_cast<std::function<void()>*>(own); });
    g_source_attach(source, state.glib.context());
  }
  ~Timer() override {
    g_source_destroy(source);
    g_source_unref(source);
  }
  GSource* const source;
};

struct EventLoop::Source::Handle::Watched final : Handle {
  Watched(std::shared_ptr<State> owner, Pollable& pollable, Polling polling)
      : state(std::move(owner)), watch(state->watches.add(pollable, polling)) {
    // The loop sleeps if this is not its thread.
    if (std::this_thread::get_id() != state->thread_id) state->tasks.wake();
  }
  ~Watched() override { state->watches.remove(watch); }
  void touch() const override { state->watches.touch(watch); }

  const std::shared_ptr<State> state;
  WatchSet::Watch* const watch;
};

EventLoop::Source::Source() noexcept = default;
EventLoop::Source::Source(std::unique_ptr<Handle> handle) noexcept : handle_(std::move(handle)) {}
EventLoop::Source::Source(Source&& other) noexcept = default;
EventLoop::Source& EventLoop::Source::operator=(Source&& other) noexcept = default;
EventLoop::Source::~Source() = default;

void EventLoop::Source::reset() noexcept {
  // Out of the way first: a task may destroy the source that runs it.
  const std::unique_ptr<Handle> gone = std::move(handle_);
}

void EventLoop::Source::touch() const {
  if (handle_) handle_->touch();
}

EventLoop::Source EventLoop::after(std::chrono::milliseconds delay, std::function<void()> task) {
  return Source(std::make_unique<Source::Handle::Timer>(*state_, delay, Source::Handle::run_once,
                                                        std::move(task)));
}

EventLoop::Source EventLoop::every(std::chrono::milliseconds interval, std::function<void()> task) {
  return Source(std::make_unique<Source::Handle::Timer>(
      *state_, interval, Source::Handle::run_again, std::move(task)));
}

EventLoop::Source EventLoop::watch(Pollable& pollable, Polling polling) {
  return Source(std::make_unique<Source::Handle::Watched>(state_, pollable, polling));
}

// ---- loop -------------------------------------------------------------------------------------

EventLoop::EventLoop(const std::string& cpus) : state_(std::make_shared<State>()) {
  // The id is read by on_loop_thread() on any thread; tasks see it through the queue's lock.
  std::promise<std::thread::id> started;
  state_->thread = std::thread([state = state_, &started, &cpus] {
    try {
      run_this_thread_on(cpus);
    } catch (const Error&) {
      started.set_exception(std::current_exception());
      return;
    }
    started.set_value(std::this_thread::get_id());
    State::run(state);
  });
  try {
    state_->thread_id = started.get_future().get();
  } catch (const Error&) {
    state_->thread.join();
    throw;
  }
}

EventLoop::~EventLoop() {
  post([state = state_.get()] { state->stopping = true; });
  if (on_loop_thread()) {
    state_->thread.detach();
  } else {
    state_->thread.join();
  }
}

std::shared_ptr<EventLoop> EventLoop::shared(const std::string& cpus) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<EventLoop>> current;
  const std::lock_guard lock(mutex);
  std::shared_ptr<EventLoop> loop = current[cpus].lock();
  if (!loop) {
    loop = std::make_shared<EventLoop>(cpus);
    current[cpus] = loop;
  }
  return loop;
}

void EventLoop::post(std::function<void()> task) {
  state_->tasks.post(std::make_shared<const std::function<void()>>(std::move(task)), true);
}

void EventLoop::post(Task task) {
  state_->tasks.post(std::move(task), false);
}

void EventLoop::call(const std::function<void()>& task) {
  if (State::in_turn_of == state_.get()) {
    task();
    return;
  }
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> future = done->get_future();
  post([&task, done] {
    try {
      task();
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  future.get();
}

bool EventLoop::begin_turn() noexcept {
  if (State::in_turn_of != nullptr || !state_->turn.try_lock()) return false;
  State::in_turn_of = state_.get();
  return true;
}

void EventLoop::end_turn() noexcept {
  State::in_turn_of = nullptr;
  state_->turn.unlock();
}

bool EventLoop::on_loop_thread() const noexcept {
  return std::this_thread::get_id() == state_->thread_id;
}

GMainContext* EventLoop::context() const noexcept {
  return state_->glib.context();
}

}  // namespace grainfabric
