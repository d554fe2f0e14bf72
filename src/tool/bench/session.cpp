// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/session.hpp"

#include <unistd.h>

#include <utility>

#include "tool/bench/limits.hpp"
#include "tool/text.hpp"

namespace grainfabric::tool {

Session::Session(EventLoop& loop, GObjectPtr<GSocketConnection> connection, Polling polling,
                 Owner& owner)
    : loop_(loop),
      polling_(polling),
      owner_(owner),
      line_(loop, std::move(connection), *this),
      hello_deadline_(loop.after(protocol::kHandshakeStep, [this] {
        refuse(Error(ErrorCode::timed_out, "No HELLO of the benchmark came"));
      })) {}

void Session::refuse(const Error& reason) {
  if (over_) return;
  line_.refuse(reason);
  end(reason, false);
}

void Session::on_line_message(Type type, GVariant* fields) {
  if (type == Type::hello && !domain_) {
    greet(Hello::decode(fields));
  } else if (type == Type::round && domain_) {
    begin(Round::decode(fields));
  } else if (type == Type::start && responder_) {
    responder_->start();
  } else if (type == Type::end && responder_) {
    line_.send(responder_->result());
    responder_.reset();
  } else if (type == Type::bye && domain_) {
    line_.close();
    end(Error(ErrorCode::disconnected, "done"), true);
  } else {
    throw Error(ErrorCode::protocol,
                "This is the server of `grainfabric bench`, and message " +
                    std::to_string(static_cast<unsigned>(type)) + " is none for it now",
                "A fabricsink needs a fabricsrc, a benchmark client this server.");
  }
}

void Session::greet(const Hello& hello) {
  Welcome welcome;
  welcome.software = software();
  welcome.host = g_get_host_name();
  domain_ = owner_.admit(*this, hello, welcome);
  hello_deadline_.reset();
  line_.send(welcome);
}

void Session::begin(const Round& round) {
  responder_.reset();  // its memory may be what the next one needs
  responder_ = std::make_unique<Responder>(loop_, *domain_, round, polling_, *this);
  owner_.on_session_said(*this, std::string(to_string(round.operation)) + " " +
                                    size_text(round.size) + ", " + std::to_string(round.depth) +
                                    " in flight" + (round.verify ? ", verified" : ""));
  line_.send(responder_->ready());
}

void Session::on_responder_failed(const Error& reason) {
  // A client that goes closes both connections: whichever is heard of first.
  refuse(reason);
}

void Session::on_line_ended(const Error& reason) {
  end(reason, false);
}

void Session::end(const Error& reason, bool orderly) {
  if (std::exchange(over_, true)) return;
  hello_deadline_.reset();
  owner_.on_session_over(*this, reason, orderly);
}

}  // namespace grainfabric::tool
