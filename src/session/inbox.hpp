// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/fifo.hpp"
#include "base/histogram.hpp"
#include "session/incoming.hpp"
#include "session/rendezvous.hpp"
#include "session/stats.hpp"

namespace grainfabric {

/// Where a target's loop thread meets its streaming thread. Everything is guarded by `mutex`.
struct Inbox final : Rendezvous {
  using Rendezvous::Rendezvous;
  struct Item {
    Incoming incoming;
    std::uint64_t session = 0;
  };

  Fifo<Item> items;
  bool flushing = false;

  std::uint64_t session = 0;       // counts; the current one or the last
  std::uint64_t events_taken = 0;  // of the current session
  Stats stats;
  Histogram latency;
};

}  // namespace grainfabric
