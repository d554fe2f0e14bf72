// SPDX-License-Identifier: Apache-2.0
#include "base/watch_set.hpp"

#include <sched.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/error.hpp"

namespace grainfabric {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

/// Polling::adaptive spins this long after the last activity: a few times the 20 to 50 us that one
/// sleep and wake costs, so that back-to-back grains never sleep.
constexpr microseconds kAdaptiveSpin{200};
/// A Pollable without descriptors is polled like this: without pause while it is active, then …
constexpr microseconds kUnpollableSpin{100};
/// … at this interval, short beside a 60 fps frame (it costs about 2 % of a core), …
constexpr microseconds kUnpollablePause{250};
/// … and once it has been idle this long, at the longer one.
constexpr microseconds kUnpollableIdleAfter{1'000'000};
constexpr microseconds kUnpollableIdlePause{4'000};

}  // namespace

class WatchSet::Watch {
 public:
  Watch(std::uint64_t own_number, Pollable& watched, Polling how)
      : number(own_number), pollable(watched), polling(how) {}

  const std::uint64_t number;  // what its events say
  Pollable& pollable;
  const Polling polling;
  std::vector<int> polled;
  UniqueFd pause_timer;  // for a Pollable without descriptors
  Clock::time_point last_activity = Clock::now();
  bool is_touched = false;
  bool is_ready = false;
  bool is_removed = false;

  /// Sleeps on a timer of its own.
  void pause(Clock::duration idle) const {
    itimerspec when{};
    when.it_value.tv_nsec =
        std::chrono::nanoseconds(idle < kUnpollableIdleAfter ? kUnpollablePause
                                                             : kUnpollableIdlePause)
            .count();
    ::timerfd_settime(pause_timer.get(), 0, &when, nullptr);
  }
};

WatchSet::WatchSet() {
  begin_anew();
}

WatchSet::~WatchSet() = default;

WatchSet::Watch* WatchSet::add(Pollable& pollable, Polling polling) {
  watches_.push_back(std::make_unique<Watch>(++last_number_, pollable, polling));
  Watch* const watch = watches_.back().get();
  by_number_[watch->number] = watch;
  touch(watch);
  return watch;
}

void WatchSet::remove(Watch* watch) noexcept {
  for (const int fd : watch->polled) {
    if (const auto owner = owners_.find(fd); owner != owners_.end() && owner->second == watch) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
      owners_.erase(owner);
    }
  }
  watch->is_removed = true;
  by_number_.erase(watch->number);
  const auto found = std::find_if(watches_.begin(), watches_.end(),
                                  [&](const auto& one) { return one.get() == watch; });
  removed_.push_back(std::move(*found));
  watches_.erase(found);
}

void WatchSet::touch(Watch* watch) {
  if (!std::exchange(watch->is_touched, true)) touched_.push_back(watch);
}

void WatchSet::touch_all() {
  for (const auto& watch : watches_) touch(watch.get());
}

void WatchSet::make_ready(Watch& watch) {
  if (!std::exchange(watch.is_ready, true)) ready_.push_back(&watch);
}

/// Brings the set up to date with what the Pollable wants to be woken by.
void WatchSet::follow(Watch& watch) {
  if (wanted_ == watch.polled) return;
  for (const int fd : watch.polled) {
    if (std::find(wanted_.begin(), wanted_.end(), fd) != wanted_.end()) continue;
    if (const auto owner = owners_.find(fd); owner != owners_.end() && owner->second == &watch) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
      owners_.erase(owner);
    }
  }
  for (const int fd : wanted_) listen(watch, fd);
  watch.polled = wanted_;
}

void WatchSet::listen(Watch& watch, int fd) {
  owners_[fd] = &watch;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = watch.number;
  // It may be in the set, from before a change of the others.
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
}

/// Only thus is a descriptor forgotten that was closed here while another process had a copy of it,
/// as between a fork and its exec: epoll goes on to report it, and takes no number for it any more.
void WatchSet::begin_anew() {
  UniqueFd fresh(::epoll_create1(EPOLL_CLOEXEC));
  if (!fresh) {
    if (epoll_) return;  // it serves on, and wakes in vain until there are descriptors again
    throw Error::from_errno(errno, "Cannot create an epoll set",
                            "Raise the limit on open files (ulimit -n).");
  }
  epoll_ = std::move(fresh);
  for (const auto& watch : watches_) {
    for (const int fd : watch->polled) listen(*watch, fd);
  }
}

void WatchSet::arm(Watch& watch) {
  wanted_.clear();
  watch.pollable.append_fds(&wanted_);
  const bool sleeps = !wanted_.empty();
  if (!sleeps) {
    if (!watch.pause_timer) {
      watch.pause_timer = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    }
    wanted_.push_back(watch.pause_timer.get());
  }
  follow(watch);
  if (watch.polling == Polling::busy) {
    make_ready(watch);
    return;
  }
  if (sleeps && watch.polling == Polling::event) {
    if (!watch.pollable.arm()) make_ready(watch);
    return;
  }
  const auto idle = Clock::now() - watch.last_activity;
  if (!sleeps && idle >= kUnpollableSpin) {
    watch.pause(idle);
  } else if (!sleeps) {
    ::sched_yield();  // the peer may need this very core to make progress
    make_ready(watch);
  } else if (idle < kAdaptiveSpin || !watch.pollable.arm()) {
    make_ready(watch);
  }
}

bool WatchSet::arm() {
  while (!touched_.empty()) {
    arming_.swap(touched_);
    for (Watch* const watch : arming_) {
      watch->is_touched = false;
      if (!watch->is_removed) arm(*watch);
    }
    arming_.clear();
  }
  return ready_.empty();
}

void WatchSet::wait(bool may_sleep) noexcept {
  event_count_ = ::epoll_wait(epoll_.get(), events_.data(), kMostEvents, may_sleep ? -1 : 0);
}

void WatchSet::serve() {
  bool has_stale = false;
  for (int i = 0; i < event_count_; ++i) {
    const epoll_event event = events_[static_cast<std::size_t>(i)];
    const std::uint64_t number = event.data.u64;  // a copy: the structure is packed
    const auto found = by_number_.find(number);
    if (found != by_number_.end()) {
      make_ready(*found->second);
    } else {
      has_stale = true;
    }
  }
  event_count_ = 0;
  if (has_stale) begin_anew();
  serving_.swap(ready_);
  for (Watch* const watch : serving_) {
    watch->is_ready = false;
    if (watch->is_removed) continue;
    if (watch->pollable.progress()) watch->last_activity = Clock::now();
    touch(watch);
  }
  serving_.clear();
  if (removed_.empty()) return;
  // Of those no list speaks any more.
  std::erase_if(touched_, [](const Watch* watch) { return watch->is_removed; });
  std::erase_if(ready_, [](const Watch* watch) { return watch->is_removed; });
  removed_.clear();
}

}  // namespace grainfabric
