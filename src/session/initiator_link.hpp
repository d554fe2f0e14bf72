// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "base/event_loop.hpp"
#include "message/channel.hpp"
#include "session/backoff.hpp"
#include "session/dial.hpp"
#include "session/gate.hpp"
#include "session/initiator.hpp"
#include "session/offers.hpp"
#include "session/outgoing_session.hpp"
#include "session/protocol.hpp"

namespace grainfabric {

/// The loop-thread half of an initiator: dials, shakes hands, has a session, and when that is lost
/// comes back. Its states are the alternatives of State; loop thread only.
class InitiatorLink final : public std::enable_shared_from_this<InitiatorLink>,
                            public Dial::Events,
                            public ChannelEvents,
                            public OutgoingSession::Events {
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
  /// As OutgoingSession; without a session there is nothing to do.
  void take_submissions();
  void follow_wanted_capacity();

 private:
  struct Idle {};
  struct Waiting {  // before the next attempt
    EventLoop::Source timer;
  };
  struct Connecting {
    std::unique_ptr<Dial> dial;
  };
  struct Greeting {  // HELLO is sent
    std::unique_ptr<Channel> channel;
    EventLoop::Source deadline;
  };
  struct Open {
    std::unique_ptr<OutgoingSession> session;
  };
  using State = std::variant<Idle, Waiting, Connecting, Greeting, Open>;

  void connect();
  void limit_wait(const std::string& what, const std::string& remedy);
  void wait_and_retry(const Error& reason);
  void lose(const Error& reason);
  void lose_and_retry(const Error& reason);
  void leave_state();
  /// Begins again without the transport in use; false if there is no other to try.
  bool try_next_transport(const Error& reason);

  /// Throws Error where the configuration file cannot be read.
  [[nodiscard]] protocol::Hello hello();
  void on_dialled(GObjectPtr<GSocketConnection> connection) override;
  void on_dial_failed(const Error& reason) override { wait_and_retry(reason); }

  void on_message(std::uint16_t type, GVariant* fields) override;
  void on_channel_closed(const Error& reason) override;
  void on_welcome(const protocol::Welcome& welcome);
  void on_refuse(const protocol::Refuse& refuse);

  void on_session_serves() override {
    backoff_.reset();
    give_up_.reset();
  }
  void on_session_lost(const Error& reason) override { lose_and_retry(reason); }
  void on_transport_failed(const Error& reason) override;

  /// Null without one.
  [[nodiscard]] OutgoingSession* session() const noexcept;
  /// Throws Error(protocol) without one.
  [[nodiscard]] OutgoingSession& session_for(const char* message) const;

  EventLoop& loop_;
  const InitiatorOptions options_;
  const std::string target_;
  const std::shared_ptr<Gate> gate_;
  InitiatorEvents& events_;
  const Token stream_ = Token::random();
  State state_;
  Offers offers_;
  std::string provider_;  // agreed on last
  EventLoop::Source give_up_;
  std::string last_complaint_;
  std::string last_failure_ = "nobody answered";
  std::string last_remedy_;
  Backoff backoff_;
  bool had_session_ = false;
  bool leaving_ = false;
  bool finished_ = false;
};

}  // namespace grainfabric
