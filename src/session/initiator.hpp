// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "base/export.hpp"
#include "session/outgoing_grain.hpp"
#include "session/stats.hpp"
#include "session/stream_event.hpp"
#include "session/terms.hpp"
#include "transfer/rail_options.hpp"
#include "transport/options.hpp"

namespace grainfabric {

struct InitiatorOptions {
  std::string host = "localhost";  ///< Name or numeric address of the target.
  std::uint16_t port = protocol::kDefaultPort;
  std::string provider = "auto";  ///< See transport::offers().
  std::string interface;          ///< Local interface or address to go out from; empty: by route.
  std::size_t slots = 8;          ///< Wanted length of the ring; the target may decide otherwise.
  bool auto_reconnect = true;     ///< False: the first loss of a session is a failure.
  /// Without a session that can carry grains for this long it is a failure; 0: try for ever.
  std::chrono::milliseconds connect_timeout{0};
  /// For the providers that have any (src/README.md); the rest is as configured on this host.
  transport::ProviderOptions transport_options;
  Polling polling = Polling::event;
  RailOptions rail;
};

/// What an initiator tells its user, on the loop thread, with no lock held. Calls into the
/// Initiator other than its destruction are allowed.
class InitiatorEvents {
 public:
  virtual void on_peer(const PeerChange& change) = 0;
  /// An event from the target's pipeline.
  virtual void on_upstream(const StreamEvent& event) = 0;
  /// The stream cannot go on: push() returns failed from now on. Called once.
  virtual void on_failed(const Error& error) = 0;

 protected:
  ~InitiatorEvents() = default;
};

/// The sending end of a grain stream. Finds its target, keeps the session alive, and writes grains
/// into the slots of the target's ring for which it has credit.
/// push() and push_event() belong to one thread, the streaming thread; all else to any.
class GRAINFABRIC_API Initiator {
 public:
  enum class PushResult {
    accepted,  ///< On its way; `release` will be called.
    dropped,   ///< Counted and forgotten; nothing will be called.
    flushing,  ///< set_flushing(true), before or meanwhile.
    failed,    ///< on_failed() says or said why.
  };
  struct PushPolicy {
    bool wait_for_credit = true;  ///< False: drop instead.
    bool wait_for_peer = true;    ///< Without a session. False: drop instead.
  };

  /// `events` is borrowed for the initiator's life. Nothing happens before start().
  /// Throws Error(invalid_argument, unknown_provider, unknown_interface) for options that never
  /// work.
  Initiator(InitiatorOptions options, InitiatorEvents& events,
            std::shared_ptr<EventLoop> loop = EventLoop::shared());
  /// Leaves at once; stop() first to let grains in flight arrive.
  ~Initiator();
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  void start();
  /// Says BYE and waits, at most protocol::kFarewell, until the target has what was pushed. No
  /// reconnection follows. The waiting is broken by set_flushing(true).
  void stop();

  /// Asks for a ring of slots of at least `payload_size` bytes before the first grain needs it.
  void reserve(std::size_t payload_size);
  PushResult push(const OutgoingGrain& grain, PushPolicy policy);
  /// Sends an event that comes after all pushed grains. Without a session it is kept for the next
  /// one (at most protocol::kEventWindow of them), a sticky one for all later ones too. Waits only
  /// for a target that does not take what it has; `dropped` instead where the policy says so, and
  /// for a body longer than kMaxEventBody.
  PushResult push_event(const StreamEvent& event, PushPolicy policy);
  /// Waits until the target has taken over all grains and events pushed so far. False: time-out, no
  /// session, or flushing.
  bool drain(std::chrono::milliseconds timeout);
  /// True breaks every wait, and refuses new ones, until false.
  void set_flushing(bool flushing);
  /// Forgets a sticky event that holds no more: the next session begins without it.
  void forget_event(const std::string& name);
  /// Forgets all of them, for a new stream.
  void forget_events();

  [[nodiscard]] Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace grainfabric
