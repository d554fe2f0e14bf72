// SPDX-License-Identifier: Apache-2.0
#include "session/initiator_link.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/table.hpp"

namespace grainfabric {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// First pause between attempts, and the longest: a target that restarts is found again within
/// moments, and a hundred initiators of one dead target stay a trickle.
constexpr milliseconds kFirstBackoff{50};
constexpr milliseconds kLongestBackoff{2000};
/// A ring for streams of unknown size does not begin smaller than this: the first buffer of an
/// encoded stream is a few bytes of headers.
constexpr std::size_t kSmallestCapacity = std::size_t{64} << 10U;

/// Failures that trying again cannot heal.
bool is_final(ErrorCode code, bool had_session) {
  switch (code) {
    case ErrorCode::unresolvable:
      return !had_session;  // a name that once had an address may get it back
    case ErrorCode::invalid_argument:
    case ErrorCode::unknown_provider:
    case ErrorCode::unknown_interface:
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

Error connect_error(const GErrorSlot& error, const std::string& target) {
  const std::string what = "Cannot connect to the target " + target + ": " + error.message();
  if (error.is(G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND) ||
      error.is(G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND) ||
      error.is(G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT)) {
    return {ErrorCode::unresolvable, what, "Check the host property."};
  }
  return {ErrorCode::unreachable, what, "Is fabricsrc running there, and the port open?"};
}

void notify(Gate& gate) {
  gate.changed.notify_all();
}

}  // namespace

/// What on_socket() finds its way back with.
struct ConnectAttempt {
  std::weak_ptr<InitiatorLink> link;
};

InitiatorLink::InitiatorLink(EventLoop& loop, InitiatorOptions options, std::shared_ptr<Gate> gate,
                             InitiatorEvents& events)
    : loop_(loop),
      options_(std::move(options)),
      gate_(std::move(gate)),
      events_(events),
      random_(static_cast<std::minstd_rand::result_type>(random_u64())),
      backoff_(kFirstBackoff) {}

InitiatorLink::~InitiatorLink() = default;

std::string InitiatorLink::target() const {
  const bool v6 = options_.host.find(':') != std::string::npos;
  return (v6 ? "[" + options_.host + "]" : options_.host) + ":" + std::to_string(options_.port);
}

// ---- connecting -------------------------------------------------------------------------------

void InitiatorLink::start() {
  if (options_.connect_timeout.count() > 0) {
    give_up_ = loop_.after(options_.connect_timeout, [this] {
      fail(Error(ErrorCode::timed_out,
                 "No session with the target " + target() + " within " +
                     std::to_string(options_.connect_timeout.count()) +
                     " ms (last: " + last_failure_ + ")",
                 "Start the target, or set connect-timeout=0 to wait for ever."));
    });
  }
  connect();
}

void InitiatorLink::connect() {
  if (finished_) return;
  try {
    const GObjectPtr<GSocketClient> client(g_socket_client_new());
    g_socket_client_set_enable_proxy(client.get(), FALSE);
    if (!options_.interface.empty()) {
      const std::string local = transport::local_address_of(options_.interface, options_.host);
      const GObjectPtr<GSocketAddress> address(
          g_inet_socket_address_new_from_string(local.c_str(), 0));
      g_socket_client_set_local_address(client.get(), address.get());
    }
    Connecting connecting;
    connecting.cancellable.reset(g_cancellable_new());
    connecting.deadline = loop_.after(protocol::kHandshakeStep, [this] {
      wait_and_retry(Error(ErrorCode::timed_out, "Connecting to " + target() + " takes too long",
                           "Is the host reachable, and does a firewall drop the port?"));
    });
    GCancellable* cancellable = connecting.cancellable.get();
    state_ = std::move(connecting);
    const GObjectPtr<GSocketConnectable> address(
        G_SOCKET_CONNECTABLE(g_network_address_new(options_.host.c_str(), options_.port)));
    g_socket_client_connect_async(client.get(), address.get(), cancellable, on_socket,
                                  new ConnectAttempt{weak_from_this()});
  } catch (const Error& error) {
    fail(error);
  }
}

void InitiatorLink::on_socket(GObject* client, GAsyncResult* result, gpointer data) {
  const std::unique_ptr<ConnectAttempt> attempt(static_cast<ConnectAttempt*>(data));
  GErrorSlot error;
  GObjectPtr<GSocketConnection> connection(
      g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, error.out()));
  const std::shared_ptr<InitiatorLink> link = attempt->link.lock();
  // A cancelled attempt's state is gone; the next one's is not to be touched.
  if (!link || error.is(G_IO_ERROR, G_IO_ERROR_CANCELLED)) return;
  if (!std::holds_alternative<Connecting>(link->state_)) return;
  if (connection) {
    link->greet(std::move(connection));
  } else {
    link->wait_and_retry(connect_error(error, link->target()));
  }
}

void InitiatorLink::greet(GObjectPtr<GSocketConnection> connection) {
  Greeting greeting;
  greeting.channel = std::make_unique<Channel>(loop_, std::move(connection), *this);
  greeting.channel->set_max_body(kMaxBody);
  protocol::Hello hello;
  hello.stream = stream_;
  hello.instance = protocol::process_instance();
  hello.host = host_name();
  hello.software = "grainfabric " GRAINFABRIC_VERSION;
  hello.offers = transport::offers(options_.provider, transport::Table::shared().providers());
  {
    const std::lock_guard lock(gate_->mutex);
    hello.next_sequence = gate_->last_sequence + 1;
  }
  greeting.channel->send(static_cast<std::uint16_t>(protocol::Type::hello), hello.encode());
  greeting.deadline = loop_.after(protocol::kHandshakeStep, [this] {
    wait_and_retry(Error(ErrorCode::timed_out,
                         target() + " accepted the connection but does not "
                                    "answer HELLO",
                         "Is something else listening on that port?"));
  });
  state_ = std::move(greeting);
}

void InitiatorLink::wait_and_retry(const Error& reason) {
  if (finished_ || leaving_) return;
  if (is_final(reason.code(), had_session_)) {
    fail(reason);
    return;
  }
  last_failure_ = reason.failure();
  log(LogLevel::info, "session", reason.what());
  leave_state();
  // Nobody there yet is the normal way to begin; everything else is worth a word, once.
  if (reason.code() != ErrorCode::unreachable && last_complaint_ != reason.what()) {
    last_complaint_ = reason.what();
    events_.on_peer({PeerChange::Kind::refused, target(), {}, reason.what()});
  }
  std::uniform_int_distribution<long> jitter(backoff_.count() / 2, backoff_.count() * 3 / 2);
  state_ = Waiting{loop_.after(milliseconds(jitter(random_)), [this] { connect(); })};
  backoff_ = std::min(backoff_ * 2, kLongestBackoff);
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
  notify(*gate_);
  events_.on_failed(error);
}

/// Gives the current state up; its parts are destroyed later, since this may run inside a call of
/// one of them.
void InitiatorLink::leave_state() {
  auto old = std::make_shared<State>(std::exchange(state_, Idle{}));
  if (auto* waiting = std::get_if<Waiting>(old.get())) waiting->timer.reset();
  if (auto* connecting = std::get_if<Connecting>(old.get())) {
    connecting->deadline.reset();
    g_cancellable_cancel(connecting->cancellable.get());
  }
  if (auto* greeting = std::get_if<Greeting>(old.get())) {
    greeting->deadline.reset();
    greeting->channel->close();
  }
  if (auto* open = std::get_if<Open>(old.get())) {
    open->heartbeat.reset();
    open->next_deadline.reset();
    open->channel->close();
  }
  loop_.post([self = shared_from_this(), old] {
    if (auto* open = std::get_if<Open>(old.get())) {
      for (const auto& lane : open->retired) lane->close();
      if (open->lane) open->lane->close();
      if (open->next) open->next->close();
    }
    *old = Idle{};
  });
}

/// The session, if there is one, is over.
void InitiatorLink::lose(const Error& reason) {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr) return;
  const std::string peer = open->channel->peer();
  std::vector<Gate::Submission> undone;
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->open = false;
    gate_->lane.reset();
    gate_->free_slots.clear();
    undone.swap(gate_->submissions);
    gate_->stats.provider.clear();
    gate_->stats.provider_reason.clear();
    gate_->stats.peer.clear();
    gate_->stats.slots = 0;
  }
  notify(*gate_);
  for (const auto& submission : undone) {
    if (const auto* grain = std::get_if<QueuedGrain>(&submission)) grain->release();
  }
  leave_state();
  log(LogLevel::info, "session", "Session with " + peer + " ended: " + reason.what());
  events_.on_peer({PeerChange::Kind::disconnected, peer, {}, reason.what(), leaving_});
}

void InitiatorLink::finish() {
  finished_ = true;
  give_up_.reset();
  std::vector<Gate::Submission> undone;
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->open = false;
    gate_->failed = true;
    gate_->lane.reset();
    gate_->free_slots.clear();
    undone.swap(gate_->submissions);
  }
  notify(*gate_);
  for (const auto& submission : undone) {
    if (const auto* grain = std::get_if<QueuedGrain>(&submission)) grain->release();
  }
  leave_state();
}

void InitiatorLink::say_bye() {
  leaving_ = true;
  give_up_.reset();
  take_submissions();
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr) {
    leave_state();  // an attempt under way must not become a session any more
    return;
  }
  std::uint64_t last = 0;
  {
    const std::lock_guard lock(gate_->mutex);
    last = gate_->last_sequence;
  }
  open->channel->send(static_cast<std::uint16_t>(protocol::Type::bye),
                      protocol::Bye{last, "the initiator stops"}.encode());
}

// ---- messages ---------------------------------------------------------------------------------

void InitiatorLink::on_channel_closed(const Error& reason) {
  if (finished_) return;
  if (std::holds_alternative<Greeting>(state_)) {
    wait_and_retry(reason);
  } else {
    lose_and_retry(reason);
  }
}

void InitiatorLink::on_message(std::uint16_t type, GVariant* fields) {
  if (auto* open = std::get_if<Open>(&state_)) open->last_heard = steady_clock::now();
  switch (static_cast<protocol::Type>(type)) {
    case protocol::Type::welcome:
      on_welcome(protocol::Welcome::decode(fields));
      break;
    case protocol::Type::refuse:
      on_refuse(protocol::Refuse::decode(fields));
      break;
    case protocol::Type::ring:
      on_ring(protocol::Ring::decode(fields));
      break;
    case protocol::Type::status:
      on_status(protocol::Status::decode(fields));
      break;
    case protocol::Type::upstream:
      events_.on_upstream(protocol::Upstream::decode(fields).event);
      break;
    case protocol::Type::bye: {
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
  const auto offered = transport::offers(options_.provider, transport::Table::shared().providers());
  if (std::find(offered.begin(), offered.end(), welcome.provider) == offered.end()) {
    throw Error(ErrorCode::protocol, "The target chose the transport \"" + welcome.provider +
                                         "\", which was not offered");
  }
  Open open;
  try {
    transport::DomainOptions domain;
    domain.provider = welcome.provider;
    domain.local_address = greeting->channel->local_address();
    open.domain = transport::Table::shared().open(domain);
  } catch (const Error& error) {
    // As the target chose what this side offered: try again, it may be passing.
    throw Error(ErrorCode::io, std::string("Cannot open the agreed transport: ") + error.what());
  }
  open.channel = std::move(greeting->channel);
  open.registrations = std::make_unique<Registrations>(*open.domain);
  open.last_heard = open.last_progress = steady_clock::now();
  open.heartbeat = loop_.every(protocol::kHeartbeat, [this] { on_heartbeat(); });
  const std::string peer = open.channel->peer();
  give_up_.reset();
  last_complaint_.clear();
  state_ = std::move(open);
  {
    const std::lock_guard lock(gate_->mutex);
    Gate& gate = *gate_;
    if (welcome.known) gate.settle(welcome.last_sequence);
    gate.stats.lost += gate.last_sequence - gate.settled;
    gate.settled = gate.last_sequence;
    gate.stats.reconnects += had_session_ ? 1 : 0;
    gate.stats.provider = welcome.provider;
    gate.stats.provider_reason = welcome.reason;
    gate.stats.peer = peer;
    gate.events_sent = gate.events_delivered = gate.events_taken = 0;
    for (const StreamEvent& event : gate.kept) {
      gate.submissions.emplace_back(protocol::Event{++gate.events_sent, gate.last_sequence, event});
    }
    std::erase_if(gate.kept, [](const StreamEvent& event) { return !event.sticky; });
    gate.open = true;
  }
  had_session_ = true;
  log(LogLevel::info, "session",
      "Session with " + peer + ": " + welcome.provider + " (" + welcome.reason + ")");
  events_.on_peer({PeerChange::Kind::connected, peer, welcome.provider, welcome.reason});
  notify(*gate_);
  take_submissions();
  follow_wanted_capacity();
}

void InitiatorLink::on_refuse(const protocol::Refuse& refuse) {
  const Error error(refuse.code, "The target " + target() + " refused: " + refuse.text);
  if (std::holds_alternative<Greeting>(state_)) {
    wait_and_retry(error);
  } else if (is_final(refuse.code, had_session_)) {
    fail(error);
  } else {
    throw error;
  }
}

void InitiatorLink::on_status(const protocol::Status& status) {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr) throw Error(ErrorCode::protocol, "The target sent STATUS before WELCOME");
  const std::lock_guard lock(gate_->mutex);
  const std::uint64_t before = gate_->settled;
  gate_->settle(status.delivered);
  gate_->events_delivered = std::min(status.events_delivered, gate_->events_sent);
  gate_->events_taken = std::min(status.events_taken, gate_->events_sent);
  gate_->stats.latency_p50 = status.latency_p50;
  gate_->stats.latency_p99 = status.latency_p99;
  if (gate_->settled != before) open->last_progress = steady_clock::now();
  notify(*gate_);
}

void InitiatorLink::on_heartbeat() {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr) return;
  open->channel->send(static_cast<std::uint16_t>(protocol::Type::heartbeat),
                      protocol::encode_heartbeat());
  backoff_ = kFirstBackoff;  // a session that lasts this long was worth coming back for
  const auto now = steady_clock::now();
  bool outstanding = false;
  {
    const std::lock_guard lock(gate_->mutex);
    outstanding = gate_->last_sequence != gate_->settled;
  }
  if (!outstanding) open->last_progress = now;
  const std::string peer = open->channel->peer();
  if (now - open->last_heard > protocol::kSilence) {
    lose_and_retry(Error(ErrorCode::timed_out,
                         "The target " + peer + " has been silent for " +
                             std::to_string(protocol::kSilence.count()) + " ms",
                         "Is its host alive, and the network between?"));
  } else if (now - open->last_progress > protocol::kStall) {
    lose_and_retry(Error(ErrorCode::timed_out,
                         "Grains written to " + peer + " do not arrive, and no error is reported",
                         "Try another provider or interface."));
  }
}

// ---- lanes ------------------------------------------------------------------------------------

void InitiatorLink::follow_wanted_capacity() {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr || leaving_ || open->next) return;
  std::size_t wanted = 0;
  {
    const std::lock_guard lock(gate_->mutex);
    wanted = gate_->wanted_capacity;
  }
  const std::size_t present = open->lane ? open->lane->capacity() : 0;
  if (wanted == 0 || wanted <= present) return;
  // Streams whose sizes vary would otherwise need an epoch for each new record.
  const std::size_t capacity = std::min(
      kMaxCapacity, std::max(present == 0 ? wanted : wanted + wanted / 4, kSmallestCapacity));
  try {
    open->next =
        std::make_shared<OutgoingLane>(loop_, *open->domain, *open->registrations, ++open->epochs,
                                       options_.rail, options_.polling, *this);
  } catch (const Error& error) {
    fail(error);
    return;
  }
  open->next_capacity = capacity;
  open->next_deadline = loop_.after(protocol::kHandshakeStep, [this] {
    lose_and_retry(Error(ErrorCode::timed_out, "The target " + target() +
                                                   " does not set up its "
                                                   "ring in time"));
  });
  open->channel->send(static_cast<std::uint16_t>(protocol::Type::config),
                      open->next->config(capacity, options_.slots).encode());
}

void InitiatorLink::on_ring(const protocol::Ring& ring) {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr || !open->next || open->next->epoch() != ring.epoch ||
      ring.capacity < open->next_capacity || open->next->slots() != 0) {
    throw Error(ErrorCode::protocol, "The target offered a RING that nobody asked for");
  }
  open->next->connect(ring);
}

void InitiatorLink::on_lane_ready(OutgoingLane& lane) {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr || open->next.get() != &lane) return;
  open->next_deadline.reset();
  if (open->lane) open->retired.push_back(std::move(open->lane));
  open->lane = std::move(open->next);
  open->next.reset();
  open->last_progress = steady_clock::now();
  backoff_ = kFirstBackoff;
  {
    const std::lock_guard lock(gate_->mutex);
    gate_->lane = open->lane;
    gate_->free_slots.clear();
    // The lowest slot last: it is taken first, and again soon, while it is in the cache.
    for (std::size_t i = lane.slots(); i-- > 0;) {
      gate_->free_slots.push_back(static_cast<std::uint16_t>(i));
    }
    gate_->stats.slots = lane.slots();
    gate_->stats.epoch = lane.epoch();
  }
  notify(*gate_);
  follow_wanted_capacity();
}

void InitiatorLink::on_lane_failed(OutgoingLane& lane, const Error& reason) {
  auto* open = std::get_if<Open>(&state_);
  if (open == nullptr) return;
  // The target closes a lane that it has all grains of.
  const auto same = [&](const auto& other) { return other.get() == &lane; };
  const auto retired = std::find_if(open->retired.begin(), open->retired.end(), same);
  if (retired == open->retired.end()) {
    lose_and_retry(reason);
  } else {
    loop_.post([self = shared_from_this(), gone = *retired] { gone->close(); });
    open->retired.erase(retired);
  }
}

void InitiatorLink::lose_and_retry(const Error& reason) {
  if (finished_ || !std::holds_alternative<Open>(state_)) return;
  lose(reason);
  if (leaving_) return;
  if (!options_.auto_reconnect) {
    fail(Error(ErrorCode::disconnected,
               "The session with " + target() + " is lost: " + reason.what(),
               "auto-reconnect is off."));
  } else {
    if (options_.connect_timeout.count() > 0 && !give_up_) {
      give_up_ = loop_.after(options_.connect_timeout, [this] {
        fail(Error(ErrorCode::timed_out,
                   "The target " + target() + " did not come back within " +
                       std::to_string(options_.connect_timeout.count()) +
                       " ms (last: " + last_failure_ + ")",
                   "Restart the target, or set connect-timeout=0."));
      });
    }
    wait_and_retry(Error(ErrorCode::unreachable, reason.failure(), reason.remedy()));
  }
}

void InitiatorLink::on_slot_writable(OutgoingLane& lane, std::uint16_t slot) {
  {
    const std::lock_guard lock(gate_->mutex);
    if (gate_->lane.get() != &lane) return;
    gate_->free_slots.push_back(slot);
  }
  notify(*gate_);
}

void InitiatorLink::on_arrived(OutgoingLane&, std::uint64_t sequence) {
  on_lane_progress();
  const std::lock_guard lock(gate_->mutex);
  gate_->settle(sequence);
}

void InitiatorLink::on_lane_progress() {
  if (auto* open = std::get_if<Open>(&state_)) open->last_progress = steady_clock::now();
}

void InitiatorLink::take_submissions() {
  std::vector<Gate::Submission> batch;
  {
    const std::lock_guard lock(gate_->mutex);
    batch.swap(gate_->submissions);
  }
  for (auto& submission : batch) {
    auto* open = std::get_if<Open>(&state_);
    if (auto* grain = std::get_if<QueuedGrain>(&submission)) {
      const std::shared_ptr<OutgoingLane> lane = grain->lane;
      lane->submit(std::move(*grain));
    } else if (open != nullptr) {
      open->channel->send(static_cast<std::uint16_t>(protocol::Type::event),
                          std::get<protocol::Event>(submission).encode());
    }
  }
}

}  // namespace grainfabric
