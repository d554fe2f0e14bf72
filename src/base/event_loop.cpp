// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.hpp"

#include <glib-unix.h>
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <cerrno>
#include <deque>
#include <exception>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace grainfabric {
namespace {

using Microseconds = gint64;  // g_source_get_time, g_get_monotonic_time

/// Polling::adaptive spins this long after the last activity: a few times the 20 to 50 us that one
/// sleep and wake costs, so that back-to-back grains never sleep.
constexpr Microseconds kAdaptiveSpin = 200;
/// A Pollable without descriptors is polled like this: without pause while it is active, then …
constexpr Microseconds kUnpollableSpin = 100;
/// … at this interval, short beside a 60 fps frame (it costs about 2 % of a core), …
constexpr Microseconds kUnpollablePause = 250;
/// … and once it has been idle this long, at the longer one.
constexpr Microseconds kUnpollableIdleAfter = 1'000'000;
constexpr Microseconds kUnpollableIdlePause = 4'000;

/// GSource that drives one Pollable. GLib allocates it, so it is created in place.
struct WatchSource {
  GSource base;
  Pollable* pollable;
  Polling polling;
  Microseconds last_activity;
  std::vector<std::pair<int, gpointer>>* polled;  // descriptor and GLib's tag for it
  UniqueFd* pause_timer;                          // for Pollables without descriptors

  static WatchSource* of(GSource* source) { return reinterpret_cast<WatchSource*>(source); }

  void follow(const std::vector<int>& fds) {
    bool same = fds.size() == polled->size();
    for (std::size_t i = 0; same && i < fds.size(); ++i) same = fds[i] == (*polled)[i].first;
    if (same) return;
    for (const auto& [fd, tag] : *polled) g_source_remove_unix_fd(&base, tag);
    polled->clear();
    for (const int fd : fds) polled->emplace_back(fd, g_source_add_unix_fd(&base, fd, G_IO_IN));
  }

  /// Sleeps on a timer of its own: GLib's time-outs are whole milliseconds.
  void pause(Microseconds idle) {
    const Microseconds pause =
        idle < kUnpollableIdleAfter ? kUnpollablePause : kUnpollableIdlePause;
    itimerspec when{};
    when.it_value.tv_nsec = pause * 1000;
    ::timerfd_settime(pause_timer->get(), 0, &when, nullptr);
  }

  static gboolean prepare(GSource* source, gint* timeout) {
    WatchSource* self = of(source);
    *timeout = -1;
    std::vector<int> fds = self->pollable->fds();
    const bool sleeps = !fds.empty();
    if (!sleeps) {
      if (!*self->pause_timer) {
        *self->pause_timer =
            UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
      }
      fds.push_back(self->pause_timer->get());
    }
    self->follow(fds);
    if (self->polling == Polling::busy) return TRUE;
    const Microseconds idle = g_get_monotonic_time() - self->last_activity;
    if (!sleeps) {
      if (idle < kUnpollableSpin) {
        ::sched_yield();  // the peer may need this very core to make progress
        return TRUE;
      }
      self->pause(idle);
      return FALSE;
    }
    if (self->polling == Polling::adaptive && idle < kAdaptiveSpin) return TRUE;
    return !self->pollable->arm();
  }

  static gboolean check(GSource* source) {
    for (const auto& [fd, tag] : *of(source)->polled) {
      if (g_source_query_unix_fd(source, tag) != 0) return TRUE;
    }
    return FALSE;
  }

  static gboolean dispatch(GSource* source, GSourceFunc, gpointer) {
    WatchSource* self = of(source);
    if (self->pollable->progress()) self->last_activity = g_get_monotonic_time();
    return G_SOURCE_CONTINUE;
  }

  static void finalize(GSource* source) {
    delete of(source)->polled;
    delete of(source)->pause_timer;
  }

  static GSourceFuncs functions;
};

GSourceFuncs WatchSource::functions = {prepare, check, dispatch, finalize, nullptr, nullptr};

using Task = std::function<void()>;

gboolean run_once(gpointer task) {
  (*static_cast<Task*>(task))();
  return G_SOURCE_REMOVE;
}

gboolean run_again(gpointer task) {
  (*static_cast<Task*>(task))();
  return G_SOURCE_CONTINUE;
}

void delete_task(gpointer task) {
  delete static_cast<Task*>(task);
}

}  // namespace

/// Shared by the loop's owner and its thread. The queue of tasks has a lock of its own rather than
/// GLib's, so that ThreadSanitizer sees where threads meet.
struct EventLoop::State {
  GMainContext* context = g_main_context_new();
  UniqueFd wake{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::thread thread;
  std::thread::id thread_id;

  std::mutex mutex;
  std::deque<Task> tasks;
  bool stopping = false;  // loop thread only

  State() {
    if (!wake)
      throw Error::from_errno(errno, "Cannot create an eventfd",
                              "Raise the limit on open files (ulimit -n).");
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { g_main_context_unref(context); }

  void post(Task task) {
    bool was_empty = false;
    {
      const std::lock_guard lock(mutex);
      was_empty = tasks.empty();
      tasks.push_back(std::move(task));
    }
    if (was_empty) {
      const std::uint64_t one = 1;
      while (::write(wake.get(), &one, sizeof one) < 0 && errno == EINTR) {
      }
    }
  }

  void run_tasks() {
    std::uint64_t count = 0;
    while (::read(wake.get(), &count, sizeof count) < 0 && errno == EINTR) {
    }
    std::deque<Task> batch;
    {
      const std::lock_guard lock(mutex);
      batch.swap(tasks);
    }
    for (Task& task : batch) {
      task();
      task = nullptr;  // what it captured goes before the next one runs
    }
  }

  static void run(const std::shared_ptr<State>& self) {
    pthread_setname_np(pthread_self(), "grainfabric");
    g_main_context_push_thread_default(self->context);
    GSource* wake_source = g_unix_fd_source_new(self->wake.get(), G_IO_IN);
    g_source_set_callback(wake_source,
                          G_SOURCE_FUNC((+[](gint, GIOCondition, gpointer state) -> gboolean {
                            static_cast<State*>(state)->run_tasks();
                            return G_SOURCE_CONTINUE;
                          })),
                          self.get(), nullptr);
    g_source_attach(wake_source, self->context);
    while (!self->stopping) g_main_context_iteration(self->context, TRUE);
    g_source_destroy(wake_source);
    g_source_unref(wake_source);
    g_main_context_pop_thread_default(self->context);
  }
};

EventLoop::EventLoop() : state_(std::make_shared<State>()) {
  // The id is read by on_loop_thread() on any thread; tasks see it through the queue's lock.
  std::promise<std::thread::id> started;
  state_->thread = std::thread([state = state_, &started] {
    started.set_value(std::this_thread::get_id());
    State::run(state);
  });
  state_->thread_id = started.get_future().get();
}

EventLoop::~EventLoop() {
  state_->post([state = state_.get()] { state->stopping = true; });
  if (on_loop_thread()) {
    state_->thread.detach();
  } else {
    state_->thread.join();
  }
}

std::shared_ptr<EventLoop> EventLoop::shared() {
  static std::mutex mutex;
  static std::weak_ptr<EventLoop> current;
  const std::lock_guard lock(mutex);
  std::shared_ptr<EventLoop> loop = current.lock();
  if (!loop) {
    loop = std::make_shared<EventLoop>();
    current = loop;
  }
  return loop;
}

void EventLoop::post(std::function<void()> task) {
  state_->post(std::move(task));
}

void EventLoop::call(const std::function<void()>& task) {
  if (on_loop_thread()) {
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

bool EventLoop::on_loop_thread() const noexcept {
  return std::this_thread::get_id() == state_->thread_id;
}

GMainContext* EventLoop::context() const noexcept {
  return state_->context;
}

EventLoop::Source EventLoop::after(std::chrono::milliseconds delay, std::function<void()> task) {
  GSource* source = g_timeout_source_new(static_cast<guint>(delay.count()));
  g_source_set_callback(source, run_once, new Task(std::move(task)), delete_task);
  g_source_attach(source, state_->context);
  return Source(source);
}

EventLoop::Source EventLoop::every(std::chrono::milliseconds interval, std::function<void()> task) {
  GSource* source = g_timeout_source_new(static_cast<guint>(interval.count()));
  g_source_set_callback(source, run_again, new Task(std::move(task)), delete_task);
  g_source_attach(source, state_->context);
  return Source(source);
}

EventLoop::Source EventLoop::watch(Pollable& pollable, Polling polling) {
  GSource* source = g_source_new(&WatchSource::functions, sizeof(WatchSource));
  WatchSource* watch = WatchSource::of(source);
  watch->pollable = &pollable;
  watch->polling = polling;
  watch->last_activity = g_get_monotonic_time();
  watch->polled = new std::vector<std::pair<int, gpointer>>;
  watch->pause_timer = new UniqueFd;
  g_source_attach(source, state_->context);
  return Source(source);
}

EventLoop::Source::Source() noexcept = default;
EventLoop::Source::Source(void* handle) noexcept : handle_(handle) {}
EventLoop::Source::Source(Source&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)) {}
EventLoop::Source& EventLoop::Source::operator=(Source&& other) noexcept {
  if (this != &other) {
    reset();
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}
EventLoop::Source::~Source() {
  reset();
}

void EventLoop::Source::reset() noexcept {
  if (auto* source = static_cast<GSource*>(std::exchange(handle_, nullptr))) {
    g_source_destroy(source);
    g_source_unref(source);
  }
}

}  // namespace grainfabric
