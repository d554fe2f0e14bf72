// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"

namespace grainfabric {

/// The Pollables of an event loop, in one epoll set: what is done for a wake-up depends on what has
/// happened, not on how many there are. In turns of the loop, except where said.
class WatchSet {
 public:
  /// One Pollable and its descriptors.
  class Watch;

  /// Throws Error where there are no descriptors left.
  WatchSet();
  ~WatchSet();
  WatchSet(const WatchSet&) = delete;
  WatchSet& operator=(const WatchSet&) = delete;

  /// `pollable` is borrowed until remove().
  Watch* add(Pollable& pollable, Polling polling);
  void remove(Watch* watch) noexcept;
  /// It has to be armed before the next sleep: something was done with it other than by progress().
  void touch(Watch* watch);
  void touch_all();

  /// Arms what is to be armed. Returns whether the loop may sleep.
  bool arm();
  /// Sleeps until there is something to do, or only looks. The loop thread, without its turn.
  void wait(bool may_sleep) noexcept;
  /// Lets those make progress that wait() or arm() found.
  void serve();

 private:
  static constexpr std::size_t kMostEvents = 64;

  void follow(Watch& watch);
  void listen(Watch& watch, int fd);
  void begin_anew();
  void arm(Watch& watch);
  void make_ready(Watch& watch);

  UniqueFd epoll_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::vector<std::unique_ptr<Watch>> removed_;  // lists may still have them
  std::unordered_map<std::uint64_t, Watch*> by_number_;
  std::uint64_t last_number_ = 0;
  /// Whose a descriptor is: a number that one has closed may be another's by now.
  std::unordered_map<int, Watch*> owners_;
  std::vector<Watch*> touched_;
  std::vector<Watch*> arming_;  // used again, like …
  std::vector<Watch*> ready_;   // … those two
  std::vector<Watch*> serving_;
  std::vector<int> wanted_;
  std::array<epoll_event, kMostEvents> events_{};
  int event_count_ = 0;
};

}  // namespace grainfabric
