// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "base/event_loop.hpp"
#include "message/channel.hpp"
#include "session/gate.hpp"
#include "session/initiator.hpp"
#include "session/outgoing_lane.hpp"
#include "session/protocol.hpp"

namespace grainfabric {

/// The loop-thread half of an initiator: connects, shakes hands, keeps lanes, notices losses, and
/// comes back. Its states are the alternatives of State; loop thread only.
class InitiatorLink final : public std::enable_shared_from_this<InitiatorLink>,
                            public ChannelEvents,
                            public OutgoingLane::Events {
 public:
  InitiatorLink(EventLoop& loop, InitiatorOptions options, std::shared_ptr<Gate> gate,
                InitiatorEvents& events);
  ~InitiatorLink();

  void start();
  /// Sends BYE if there is a session; it ends when the target answers or `finish()` comes.
  void say_bye();
  /// Ends everything at once. No callback follows.
  void finish();
  /// Ends the stream for good, with an error.
  void fail(const Error& error);
  /// Takes Gate::submissions.
  void take_submissions();
  /// Asks for a new epoch if Gate::wanted_capacity exceeds the current one's.
  void follow_wanted_capacity();

 private:
  struct Idle {};
  struct Waiting {  // before the next attempt
    EventLoop::Source timer;
  };
  struct Connecting {
    GObjectPtr<GCancellable> cancellable;
    EventLoop::Source deadline;
  };
  struct Greeting {  // HELLO is sent
    std::unique_ptr<Channel> channel;
    EventLoop::Source deadline;
  };
  struct Open {
    // Destroyed from the bottom: lanes before what they borrow.
    std::unique_ptr<Channel> channel;
    std::unique_ptr<transport::Domain> domain;
    std::unique_ptr<Registrations> registrations;
    std::vector<std::shared_ptr<OutgoingLane>> retired;  // may still have writes in flight
    std::shared_ptr<OutgoingLane> lane;                  // in use
    std::shared_ptr<OutgoingLane> next;                  // asked for or connecting
    std::size_t next_capacity = 0;
    std::uint64_t epochs = 0;
    EventLoop::Source heartbeat;
    EventLoop::Source next_deadline;
    std::chrono::steady_clock::time_point last_heard;
    std::chrono::steady_clock::time_point last_progress;
  };
  using State = std::variant<Idle, Waiting, Connecting, Greeting, Open>;

  void connect();
  static void on_socket(GObject* client, GAsyncResult* result, gpointer attempt);
  void greet(GObjectPtr<GSocketConnection> connection);
  void wait_and_retry(const Error& reason);
  void lose(const Error& reason);
  void lose_and_retry(const Error& reason);
  void leave_state();

  void on_message(std::uint16_t type, GVariant* fields) override;
  void on_channel_closed(const Error& reason) override;
  void on_welcome(const protocol::Welcome& welcome);
  void on_refuse(const protocol::Refuse& refuse);
  void on_ring(const protocol::Ring& ring);
  void on_status(const protocol::Status& status);
  void on_heartbeat();

  void on_lane_ready(OutgoingLane& lane) override;
  void on_lane_failed(OutgoingLane& lane, const Error& reason) override;
  void on_slot_writable(OutgoingLane& lane, std::uint16_t slot) override;
  void on_arrived(OutgoingLane& lane, std::uint64_t sequence) override;
  void on_lane_progress() override;

  [[nodiscard]] std::string target() const;

  EventLoop& loop_;
  const InitiatorOptions options_;
  const std::shared_ptr<Gate> gate_;
  InitiatorEvents& events_;
  const Token stream_ = Token::random();
  State state_;
  EventLoop::Source give_up_;
  std::string last_complaint_;
  std::string last_failure_ = "nobody answered";
  std::minstd_rand random_;
  std::chrono::milliseconds backoff_;
  bool had_session_ = false;
  bool leaving_ = false;
  bool finished_ = false;
};

}  // namespace grainfabric
