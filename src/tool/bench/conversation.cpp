// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/conversation.hpp"

#include <algorithm>
#include <utility>

#include "tool/bench/limits.hpp"
#include "tool/text.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/local/local.hpp"
#include "transport/table.hpp"

namespace grainfabric::tool {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{200};
/// How long the server's own words about a failure may take, once the data connection ended.
constexpr std::chrono::milliseconds kLastWords{500};

LoadOptions with_defaults(LoadOptions load, const transport::Capabilities& can) {
  if (load.depth == 0) {
    load.depth = std::clamp<std::uint64_t>(kDefaultBytesInFlight / load.size, 2, kDefaultDepth);
  }
  if (load.piece_size == 0) load.piece_size = can.piece_size;
  return load;
}

}  // namespace

Conversation::Conversation(EventLoop& loop, GObjectPtr<GSocketConnection> connection,
                           ConversationOptions options, ConversationEvents& events)
    : loop_(loop),
      options_(std::move(options)),
      events_(events),
      progress_(loop.every(kProgressInterval,
                           [this] {
                             if (load_) events_.on_progress(load_options_, load_->measured());
                           })),
      line_(loop, std::move(connection), *this) {
  line_.send(Hello{kBenchVersion, software(),
                   transport::offers(options_.provider,
                                     transport::Table::shared().providers_for(options_.provider)),
                   transport::local::same_host_hint({})});
  expect("HELLO", protocol::kHandshakeStep);
}

void Conversation::expect(const char* message, std::chrono::milliseconds within) {
  deadline_ = loop_.after(within, [this, message] {
    fail(Error(ErrorCode::timed_out, line_.peer() + " does not answer " + message,
               "Is that the port of `grainfabric bench server`?"));
  });
}

void Conversation::on_line_message(Type type, GVariant* fields) {
  if (type == Type::welcome && !domain_) {
    const Welcome welcome = Welcome::decode(fields);
    domain_ = transport::Table::shared().open(
        {welcome.provider,
         options_.interface.empty()
             ? line_.local_address()
             : transport::local_address_of(options_.interface, line_.local_address())});
    events_.on_welcome(line_.peer(), welcome);
    next_round();
  } else if (type == Type::ready && load_) {
    deadline_.reset();
    load_->connect(Ready::decode(fields));
  } else if (type == Type::result && load_) {
    take(Result::decode(fields));
    next_round();
  } else {
    throw Error(ErrorCode::protocol, line_.peer() + " sent message " +
                                         std::to_string(static_cast<unsigned>(type)) +
                                         " out of turn");
  }
}

void Conversation::next_round() {
  load_.reset();
  if (next_ == options_.rounds.size()) {
    leaving_ = true;
    line_.send(Bye{});
    expect("BYE", protocol::kFarewell);
    return;
  }
  load_options_ = with_defaults(options_.rounds[next_++], domain_->capabilities());
  load_ = std::make_unique<Load>(loop_, *domain_, load_options_, *this);
  line_.send(load_->round());
  expect("ROUND", kSilence);
}

void Conversation::on_load_warm() {
  line_.send(Start{});
  load_->run();
}

void Conversation::on_load_finished() {
  line_.send(End{});
  expect("END", kSilence);
}

void Conversation::take(const Result& result) {
  const Measured& measured = load_->measured();
  const bool server_verifies = load_options_.operation != Operation::read;
  if (load_options_.verify && server_verifies && result.verified < measured.messages) {
    throw Error(ErrorCode::protocol, "The server compared only " + std::to_string(result.verified) +
                                         " of " + std::to_string(measured.messages) + " messages");
  }
  events_.on_outcome({load_options_, measured, result});
}

void Conversation::on_load_failed(const Error& reason) {
  if (reason.code() != ErrorCode::disconnected) {
    fail(reason);
    return;
  }
  // The server closes the data connection when it fails, and says why on the other one.
  deadline_ = loop_.after(kLastWords, [this, reason] { fail(reason); });
}

void Conversation::on_line_ended(const Error& reason) {
  if (reason.code() != ErrorCode::disconnected) {
    finish(std::make_exception_ptr(reason));
  } else if (leaving_) {
    finish(nullptr);
  } else {
    finish(std::make_exception_ptr(Error(reason.code(),
                                         reason.failure() + " in the middle of the benchmark",
                                         "Did somebody stop the server, or the network fail?")));
  }
}

void Conversation::fail(const Error& reason) {
  line_.refuse(reason);
  finish(std::make_exception_ptr(reason));
}

void Conversation::finish(std::exception_ptr error) {
  if (std::exchange(over_, true)) return;
  deadline_.reset();
  progress_.reset();
  if (error) {
    finished_.set_exception(error);
  } else {
    finished_.set_value();
  }
}

}  // namespace grainfabric::tool
