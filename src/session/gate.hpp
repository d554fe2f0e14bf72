// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "session/outgoing_lane.hpp"
#include "session/protocol.hpp"
#include "session/rendezvous.hpp"
#include "session/stats.hpp"

namespace grainfabric {

/// Where an initiator's streaming thread meets its loop thread. Everything is guarded by `mutex`;
/// notify() is called whenever a waiting streaming thread may have reason to go on.
struct Gate final : Rendezvous {
  using Rendezvous::Rendezvous;
  using Submission = std::variant<QueuedGrain, protocol::Event>;

  // What ends waiting.
  bool flushing = false;
  bool failed = false;
  bool stopping = false;  // no session begins any more

  // The session, as far as pushing goes.
  bool open = false;                   // welcomed; events may be sent
  std::shared_ptr<OutgoingLane> lane;  // connected; grains may be written to free_slots
  std::vector<std::uint16_t> free_slots;
  std::size_t wanted_capacity = 0;
  std::vector<Submission> submissions;  // for the loop thread, in order

  // The stream.
  std::uint64_t last_sequence = 0;  // given to a grain
  std::uint64_t settled = 0;        // all up to here arrived or are counted as lost
  /// For the next session: the newest of every sticky event and, while there is no session, the
  /// others between them.
  std::vector<StreamEvent> kept;
  std::uint64_t events_sent = 0;  // of this session, like the next two
  std::uint64_t events_delivered = 0;
  std::uint64_t events_taken = 0;

  Stats stats;  // its `lost` excludes what is not settled yet

  void settle(std::uint64_t sequence) {
    if (sequence > settled && sequence <= last_sequence) settled = sequence;
  }
};

}  // namespace grainfabric
