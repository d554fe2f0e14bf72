// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

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

  /// Takes out those that `which` chooses. An event among them counts as taken.
  template <class Which>
  std::vector<Item> drop(const Which& which) {
    std::vector<Item> dropped;
    for (std::size_t left = items.size(); left > 0; --left) {
      Item item = items.pop_front();
      if (!which(item)) {
        items.push_back(std::move(item));
        continue;
      }
      const bool is_event = std::holds_alternative<StreamEvent>(item.incoming);
      if (is_event && item.session == session) ++events_taken;
      dropped.push_back(std::move(item));
    }
    return dropped;
  }

  std::uint64_t session = 0;       // counts; the current one or the last
  std::uint64_t events_taken = 0;  // of the current session
  Stats stats;
  Histogram latency;
};

}  // namespace grainfabric
