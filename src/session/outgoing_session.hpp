// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.hpp"
#include "message/channel.hpp"
#include "session/gate.hpp"
#include "session/initiator.hpp"
#include "session/outgoing_lane.hpp"
#include "session/protocol.hpp"
#include "transfer/registrations.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

/// One session at the initiator, from WELCOME to its end: holds the gate open, sends what comes
/// through it, replaces its lane by a larger one where grains outgrow it, and notices when the
/// target has died. Loop thread only.
class OutgoingSession final : public OutgoingLane::Events {
 public:
  /// What its owner hears. The session must not be destroyed in there, but may be closed.
  class Events {
   public:
    /// It does what sessions are for: it got a ring, or has lasted another heartbeat.
    virtual void on_session_serves() = 0;
    /// Its transport does not do here; another one, or the next session, may.
    virtual void on_transport_failed(const Error& reason) = 0;
    /// It is of no more use; the next one may be.
    virtual void on_session_lost(const Error& reason) = 0;

   protected:
    ~Events() = default;
  };

  /// `channel` and `domain` are what was agreed on; `loop`, `options` and `events` are borrowed.
  OutgoingSession(EventLoop& loop, const InitiatorOptions& options, std::shared_ptr<Gate> gate,
                  std::unique_ptr<Channel> channel, std::unique_ptr<transport::Domain> domain,
                  Events& events);
  /// Closes the lanes: not inside a call of one of them.
  ~OutgoingSession();

  /// Opens the gate, unless it is to stay shut. `again`: it was open before.
  bool open(const protocol::Welcome& welcome, bool again);
  /// Sends what waits, and asks for the first ring.
  void start();
  /// A ring that is connected, or nothing yet to write into one.
  [[nodiscard]] bool has_what_it_needs() const noexcept { return lane_ || !next_; }
  /// Sends BYE; the session ends when the target answers.
  void say_bye();
  /// Closes the gate and the channel. No event follows.
  void close();

  /// Takes Gate::submissions.
  void take_submissions();
  /// Asks for a new epoch if Gate::wanted_capacity exceeds the current one's.
  void follow_wanted_capacity();

  // From the channel.
  void on_heard() noexcept { last_heard_ = std::chrono::steady_clock::now(); }
  void on_ring(const protocol::Ring& ring);
  void on_status(const protocol::Status& status);

  [[nodiscard]] const std::string& peer() const noexcept { return channel_->peer(); }

 private:
  void on_heartbeat();

  void on_lane_ready(OutgoingLane& lane) override;
  void on_lane_failed(OutgoingLane& lane, const Error& reason) override;
  void on_slot_writable(OutgoingLane& lane, std::uint16_t slot) override;
  void on_arrived(OutgoingLane& lane, std::uint64_t sequence) override;
  void on_lane_progress() override;

  EventLoop& loop_;
  const InitiatorOptions& options_;
  const std::shared_ptr<Gate> gate_;
  Events& events_;
  // Destroyed from the bottom: lanes before what they borrow.
  const std::unique_ptr<Channel> channel_;
  const std::unique_ptr<transport::Domain> domain_;
  Registrations registrations_;
  std::vector<std::shared_ptr<OutgoingLane>> retired_;  // may still have writes in flight
  std::shared_ptr<OutgoingLane> lane_;                  // in use
  std::shared_ptr<OutgoingLane> next_;                  // asked for or connecting
  std::size_t next_capacity_ = 0;
  std::uint64_t epochs_ = 0;
  EventLoop::Source heartbeat_;
  EventLoop::Source next_deadline_;
  std::chrono::steady_clock::time_point last_heard_;
  std::chrono::steady_clock::time_point last_progress_;
  bool has_moved_ = false;               // since the last heartbeat
  std::vector<Gate::Submission> batch_;  // used again
  bool leaving_ = false;
  bool closed_ = false;
};

}  // namespace grainfabric
