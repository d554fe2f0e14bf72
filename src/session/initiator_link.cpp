// SPDX-License-Identifier: Apache-2.0
#include "session/initiator_link.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "session/target_name.hpp"
#include "transport/local/local.hpp"
#include "transport/table.hpp"

namespace grainfabric {
namespace {

/// Failures that trying again cannot heal.
bool is_final(ErrorCode code, bool had_session) {
  switch (code) {
    case ErrorCode::unresolvable:
    case ErrorCode::unknown_interface:
      return !had_session;  // what was there once, a name's address or an interface, may come back
    case ErrorCode::invalid_argument:
    case ErrorCode::unknown_provider:
    case ErrorCode::version:
    case ErrorCode::no_memory:
    case ErrorCode::locked_memory_limit:
    case ErrorCode::unsupported:
      return true;
    default:
      return false;
  }
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

InitiatorLink::InitiatorLink(EventLoop& loop, InitiatorOptions options, std::shared_ptr<Gate> gate,
                             InitiatorEvents& events)
    : loop_(loop),
      options_(std::move(options)),
      target_(target_name(options_)),
      gate_(std::move(gate)),
      events_(events),
      offers_(options_.provider) {}

InitiatorLink::~InitiatorLink() = default;

void InitiatorLink::start() {
  limit_wait("No session with the target " + target_,
             "Start the target, or set connect-timeout=0 to wait for ever.");
  connect();
}

// ---- the session that there is, or is not -----------------------------------------------------

OutgoingSession* InitiatorLink::session() const noexcept {
  const auto* open = std::get_if<Open>(&state_);
  return open != nullptr ? open->session.get() : nullptr;
}

OutgoingSession& InitiatorLink::session_for(const char* message) const {
  if (OutgoingSession* present = session()) return *present;
  throw Error(ErrorCode::protocol, std::string("The target sent ") + message + " before WELCOME");
}

void InitiatorLink::take_submissions() {
  if (OutgoingSession* present = session()) present->take_submissions();
}

void InitiatorLink::follow_wanted_capacity() {
  if (OutgoingSession* present = session()) present->follow_wanted_capacity();
}

void InitiatorLink::say_bye() {
  leaving_ = true;
  give_up_.reset();
  if (OutgoingSession* present = session()) {
    present->say_bye();
  } else {
    leave_state();  // an attempt under way must not become a session any more
  }
}

// ---- the handshake ----------------------------------------------------------------------------

void InitiatorLink::connect() {
  if (finished_) return;
  try {
    state_ = Connecting{std::make_unique<Dial>(loop_, options_, *this)};
  } catch (const Error& error) {
    wait_and_retry(error);
  }
}

void InitiatorLink::on_dialled(GObjectPtr<GSocketConnection> connection) {
  Greeting greeting;
  greeting.channel = std::make_unique<Channel>(loop_, std::move(connection), *this);
  greeting.channel->set_max_body(kMaxBody);
  try {
    greeting.channel->send(number(protocol::Type::hello), hello().encode());
  } catch (const Error& error) {  // a configuration file that cannot be read
    wait_and_retry(error);
    return;
  }
  greeting.deadline = loop_.after(protocol::kHandshakeStep, [this] {
    wait_and_retry(Error(ErrorCode::timed_out,
                         target_ + " accepted the connection but does not answer HELLO",
                         "Is something else listening on that port?"));
  });
  state_ = std::move(greeting);
}

protocol::Hello InitiatorLink::hello() {
  protocol::Hello said;
  said.stream = stream_;
  said.instance = protocol::process_instance();
  said.host = host_name();
  said.software = "grainfabric " GRAINFABRIC_VERSION;
  said.offers = offers_.current();
  said.passed_over = offers_.passed_over();
  said.host_hint = transport::local::same_host_hint(
      transport::options_of(options_.transport_options, transport::local::kProvider));
  const std::lock_guard lock(gate_->mutex);
  said.next_sequence = gate_->last_sequence + 1;
  return said;
}

void InitiatorLink::on_message(std::uint16_t type, GVariant* fields) {
  if (OutgoingSession* present = session()) present->on_heard();
  switch (static_cast<protocol::Type>(type)) {
    case protocol::Type::welcome:
      on_welcome(protocol::Welcome::decode(fields));
      break;
    case protocol::Type::refuse:
      on_refuse(protocol::Refuse::decode(fields));
      break;
    case protocol::Type::ring:
      session_for("RING").on_ring(protocol::Ring::decode(fields));
      break;
    case protocol::Type::status:
      session_for("STATUS").on_status(protocol::Status::decode(fields));
      break;
    case protocol::Type::upstream:
      static_cast<void>(session_for("UPSTREAM"));
      events_.on_upstream(protocol::Upstream::decode(fields).event);
      break;
    case protocol::Type::bye: {
      static_cast<void>(session_for("BYE"));
      const protocol::Bye bye = protocol::Bye::decode(fields);
      {
        const std::lock_guard lock(gate_->mutex);
        gate_->settle(bye.last_sequence);
      }
      throw Error(ErrorCode::disconnected, "The target said goodbye: " + bye.text);
    }
    default:
      break;  // of a later version, or not for an initiator
  }
}

void InitiatorLink::on_welcome(const protocol::Welcome& welcome) {
  auto* greeting = std::get_if<Greeting>(&state_);
  if (greeting == nullptr) throw Error(ErrorCode::protocol, "The target said WELCOME twice");
  const auto offered = offers_.current();
  if (std::find(offered.begin(), offered.end(), welcome.provider) == offered.end()) {
    throw Error(ErrorCode::protocol, "The target chose the transport \"" + welcome.provider +
                                         "\", which was not offered");
  }
  provider_ = welcome.provider;
  std::unique_ptr<transport::Domain> domain;
  try {
    transport::DomainOptions options;
    options.provider = welcome.provider;
    options.local_address = greeting->channel->local_address();
    options.options = transport::options_of(options_.transport_options, welcome.provider);
    domain = transport::Table::shared().open(options);
  } catch (const Error& error) {
    if (try_next_transport(error)) return;
    // As the target chose what this side offered: try again, it may be passing.
    throw Error(ErrorCode::io, std::string("Cannot open the agreed transport: ") + error.what());
  }
  state_ = Open{std::make_unique<OutgoingSession>(
      loop_, options_, gate_, std::move(greeting->channel), std::move(domain), *this)};
  OutgoingSession& opened = *session();
  last_complaint_.clear();
  if (!opened.open(welcome, std::exchange(had_session_, true))) {
    leave_state();
    return;
  }
  log(LogLevel::info, "session",
      "Session with " + opened.peer() + ": " + welcome.provider + " (" + welcome.reason + ")");
  events_.on_peer({PeerChange::Kind::connected, opened.peer(), welcome.provider, welcome.reason});
  opened.start();
  if (session() != nullptr && session()->has_what_it_needs()) give_up_.reset();
}

void InitiatorLink::on_refuse(const protocol::Refuse& refuse) {
  const Error error(refuse.code, "The target " + target_ + " refused: " + refuse.text);
  if (std::holds_alternative<Greeting>(state_)) {
    wait_and_retry(error);
  } else if (!refuse.provider.empty()) {
    on_transport_failed(error);
  } else if (is_final(refuse.code, had_session_)) {
    fail(error);
  } else {
    throw error;
  }
}

void InitiatorLink::on_channel_closed(const Error& reason) {
  if (finished_) return;
  if (std::holds_alternative<Greeting>(state_)) {
    wait_and_retry(reason);
  } else {
    lose_and_retry(reason);
  }
}

// ---- losses, and what comes after -------------------------------------------------------------

/// Fails the stream if there is no session within the connect timeout.
void InitiatorLink::limit_wait(const std::string& what, const std::string& remedy) {
  if (options_.connect_timeout.count() <= 0 || give_up_) return;
  give_up_ = loop_.after(options_.connect_timeout, [this, what, remedy] {
    fail(Error(ErrorCode::timed_out,
               what + " within " + std::to_string(options_.connect_timeout.count()) +
                   " ms (last: " + last_failure_ + ")",
               last_remedy_.empty() ? remedy : last_remedy_ + " " + remedy));
  });
}

void InitiatorLink::wait_and_retry(const Error& reason) {
  if (finished_ || leaving_) return;
  if (is_final(reason.code(), had_session_)) {
    fail(reason);
    return;
  }
  last_failure_ = reason.failure();
  last_remedy_ = reason.remedy();
  log(LogLevel::info, "session", reason.what());
  leave_state();
  // Nobody there yet is the normal way to begin; everything else is worth a word, once.
  if (reason.code() != ErrorCode::unreachable && last_complaint_ != reason.what()) {
    last_complaint_ = reason.what();
    events_.on_peer({PeerChange::Kind::refused, target_, {}, reason.what()});
  }
  state_ = Waiting{loop_.after(backoff_.next(), [this] { connect(); })};
}

/// The session, if there is one, is over.
void InitiatorLink::lose(const Error& reason) {
  const OutgoingSession* ended = session();
  if (ended == nullptr) return;
  const std::string peer = ended->peer();
  leave_state();
  log(LogLevel::info, "session", "Session with " + peer + " ended: " + reason.what());
  events_.on_peer({PeerChange::Kind::disconnected, peer, {}, reason.what(), leaving_});
}

void InitiatorLink::lose_and_retry(const Error& reason) {
  if (finished_ || session() == nullptr) return;
  lose(reason);
  if (leaving_) return;
  if (!options_.auto_reconnect) {
    fail(Error(ErrorCode::disconnected,
               "The session with " + target_ + " is lost: " + reason.what(),
               "auto-reconnect is off."));
  } else {
    limit_wait("The target " + target_ + " did not come back",
               "Restart the target, or set connect-timeout=0.");
    wait_and_retry(Error(ErrorCode::unreachable, reason.failure(), reason.remedy()));
  }
}

bool InitiatorLink::try_next_transport(const Error& reason) {
  if (finished_ || leaving_ || !offers_.pass_over(provider_, reason)) return false;
  last_failure_ = reason.failure();
  last_remedy_ = reason.remedy();
  const std::string what =
      "Transport " + provider_ + " does not do with " + target_ + ": " + reason.what();
  log(LogLevel::warning, "session", what);
  events_.on_peer({PeerChange::Kind::refused, target_, {}, what});
  lose(reason);
  leave_state();
  limit_wait("No transport that works with " + target_, "Set connect-timeout=0 to try for ever.");
  connect();
  return true;
}

void InitiatorLink::on_transport_failed(const Error& reason) {
  if (finished_ || try_next_transport(reason)) return;
  if (is_final(reason.code(), had_session_)) {
    fail(reason);
  } else {
    lose_and_retry(reason);
  }
}

void InitiatorLink::fail(const Error& error) {
  if (finished_) return;
  log(LogLevel::error, "session", error.what());
  lose(error);
  finished_ = true;
  give_up_.reset();
  leave_state();
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->failed = true;
  }
  gate_->notify();
  events_.on_failed(error);
}

void InitiatorLink::finish() {
  finished_ = true;
  give_up_.reset();
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->failed = true;
  }
  gate_->notify();
  leave_state();
}

/// Gives the current state up; its parts are destroyed later, since this may run inside a call of
/// one of them.
void InitiatorLink::leave_state() {
  auto old = std::make_shared<State>(std::exchange(state_, Idle{}));
  if (auto* waiting = std::get_if<Waiting>(old.get())) waiting->timer.reset();
  if (auto* connecting = std::get_if<Connecting>(old.get())) connecting->dial.reset();
  if (auto* greeting = std::get_if<Greeting>(old.get())) {
    greeting->deadline.reset();
    greeting->channel->close();
  }
  if (auto* open = std::get_if<Open>(old.get())) open->session->close();
  loop_.post([self = shared_from_this(), old] { *old = Idle{}; });
}

}  // namespace grainfabric
