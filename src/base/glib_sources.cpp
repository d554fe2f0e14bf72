// SPDX-License-Identifier: Apache-2.0
#include "base/glib_sources.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/error.hpp"

namespace grainfabric {
namespace {

// On Linux poll's and epoll's conditions have the same numbers.
static_assert(int{EPOLLIN} == int{G_IO_IN} && int{EPOLLOUT} == int{G_IO_OUT} &&
              int{EPOLLPRI} == int{G_IO_PRI} && int{EPOLLERR} == int{G_IO_ERR} &&
              int{EPOLLHUP} == int{G_IO_HUP});

}  // namespace

// Whoever attaches a source wakes the context, this thread included: that is how arm() learns of
// it.
GlibSources::GlibSources(std::function<void()> dispatched)
    : dispatched_(std::move(dispatched)),
      context_(g_main_context_new_with_flags(G_MAIN_CONTEXT_FLAGS_OWNERLESS_POLLING)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (!epoll_ || !timer_) {
    const int error = errno;
    g_main_context_unref(context_);
    throw Error::from_errno(error, "Cannot create an epoll set",
                            "Raise the limit on open files (ulimit -n).");
  }
}

GlibSources::~GlibSources() {
  g_main_context_unref(context_);
}

void GlibSources::append_fds(std::vector<int>* fds) const {
  fds->insert(fds->end(), {epoll_.get(), timer_.get()});
}

/// What the context would poll, and for how long; as long as no source runs that stays so.
bool GlibSources::arm() {
  if (!has_changed_) return true;
  gint priority = 0;
  g_main_context_prepare(context_, &priority);
  gint timeout = -1;
  for (;;) {
    const auto room = static_cast<gint>(queried_.size());
    const gint count = g_main_context_query(context_, G_MAXINT, &timeout, queried_.data(), room);
    queried_.resize(static_cast<std::size_t>(count));
    if (count <= room) break;
  }
  follow(queried_);
  set_timer(timeout);
  has_changed_ = timeout == 0;
  return timeout != 0;
}

/// All of them anew: a socket that was closed may have given its number to another.
void GlibSources::follow(const std::vector<GPollFD>& wanted) {
  ++round_;
  for (const GPollFD& old : polled_) {
    const bool stays = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const GPollFD& one) { return one.fd == old.fd; });
    if (!stays) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, old.fd, nullptr);
  }
  for (const GPollFD& one : wanted) {
    epoll_event event{};
    event.data.u64 = round_;
    for (const GPollFD& same : wanted) {  // GLib may poll one twice
      if (same.fd == one.fd) event.events |= same.events;
    }
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, one.fd, &event) != 0) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, one.fd, &event);
    }
  }
  polled_ = wanted;
}

void GlibSources::set_timer(gint milliseconds) const {
  itimerspec when{};
  when.it_value = {milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  if (milliseconds < 0) when.it_value = {};
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

bool GlibSources::progress() {
  has_changed_ = true;
  outdated_.reset();
  const bool ran = g_main_context_iteration(context_, FALSE) == TRUE;
  if (ran) {
    dispatched_();
  } else {
    begin_anew();
  }
  return ran;
}

/// If it is woken by a descriptor that was closed here, and of which another process has a copy
/// since a fork: as WatchSet has it.
void GlibSources::begin_anew() {
  std::array<epoll_event, 16> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  const bool has_stale =
      std::any_of(events.begin(), events.begin() + std::max(count, 0),
                  [this](const epoll_event& event) { return event.data.u64 != round_; });
  if (!has_stale) return;
  UniqueFd fresh(::epoll_create1(EPOLL_CLOEXEC));
  if (!fresh) return;  // it serves on, and wakes in vain until there are descriptors again
  outdated_ = std::exchange(epoll_, std::move(fresh));
  polled_.clear();
}

}  // namespace grainfabric
