// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "tool/bench/line.hpp"
#include "tool/bench/responder.hpp"

namespace grainfabric::tool {

/// One client of the server, from its connection to its end. Loop thread only.
class Session final : public LineEvents, public Responder::Events {
 public:
  /// What the server answers.
  class Owner {
   public:
    /// A client said HELLO. Opens the domain that serves it, and says in `welcome` which. Throws
    /// Error to turn it away.
    virtual std::unique_ptr<transport::Domain> admit(Session& session, const Hello& hello,
                                                     Welcome& welcome) = 0;
    virtual void on_session_said(Session& session, const std::string& what) = 0;
    /// Last. `orderly`: the client said BYE. Destroy the session later, not in there.
    virtual void on_session_over(Session& session, const Error& reason, bool orderly) = 0;

   protected:
    ~Owner() = default;
  };

  Session(EventLoop& loop, GObjectPtr<GSocketConnection> connection, Polling polling, Owner& owner);

  [[nodiscard]] const std::string& peer() const noexcept { return line_.peer(); }
  [[nodiscard]] const std::string& local_address() const noexcept { return line_.local_address(); }
  /// Tells the client why and ends.
  void refuse(const Error& reason);

 private:
  void on_line_message(Type type, GVariant* fields) override;
  void on_line_ended(const Error& reason) override;
  void on_responder_failed(const Error& reason) override;
  void greet(const Hello& hello);
  void begin(const Round& round);
  void end(const Error& reason, bool orderly);

  EventLoop& loop_;
  const Polling polling_;
  Owner& owner_;
  Line line_;
  EventLoop::Source hello_deadline_;
  std::unique_ptr<transport::Domain> domain_;
  std::unique_ptr<Responder> responder_;  // before the domain goes
  bool over_ = false;
};

}  // namespace grainfabric::tool
