// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <variant>

#include "base/histogram.hpp"
#include "session/incoming_grain.hpp"
#include "session/stats.hpp"
#include "session/stream_event.hpp"

namespace grainfabric {

/// What a target hands to its streaming thread, in the order of the stream.
using Incoming = std::variant<IncomingGrain, StreamEvent>;

/// Where a target's loop thread meets its streaming thread. Everything is guarded by `mutex`.
struct Inbox {
  struct Item {
    Incoming incoming;
    std::uint64_t session = 0;
  };

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Item> items;
  bool flushing = false;
  bool closed = false;

  std::uint64_t session = 0;       // counts; the current one or the last
  std::uint64_t events_taken = 0;  // of the current session
  Stats stats;
  Histogram latency;
};

}  // namespace grainfabric
