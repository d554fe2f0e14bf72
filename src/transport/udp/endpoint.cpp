// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/endpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.hpp"

namespace grainfabric::transport::udp {
namespace {

SocketAddress local_for(const SocketAddress& own, const SocketAddress& peer) {
  if (own.family() == peer.family()) return own;
  SocketAddress any;  // of the peer's family, since `own` is any
  any.v4.sin_family = AF_INET;
  any.size = sizeof any.v4;
  return any;
}

}  // namespace

UdpEndpoint::UdpEndpoint(std::shared_ptr<Device> device, const Token& token, EndpointEvents& user)
    : device_(std::move(device)), user_(user) {
  socket_.emplace(device_->local);
  address_ = to_wire(socket_->name());
  greeter_.emplace(token, socket_->receive_window());
}

UdpEndpoint::UdpEndpoint(std::shared_ptr<Device> device, const Address& peer, const Token& token,
                         EndpointEvents& user)
    : device_(std::move(device)), user_(user) {
  const SocketAddress to = from_wire(peer, device_->local);
  peer_name_ = describe(to) + " (udp on " + device_->capabilities.interface + ")";
  socket_.emplace(local_for(device_->local, to));
  socket_->connect(to);
  const TimePoint now = Clock::now();
  caller_.emplace(token, socket_->receive_window(), now);
  call_ends_ = now + kConnectTimeout;
  send_hello(now);
}

UdpEndpoint::~UdpEndpoint() {
  if (!is_closed_) say_goodbye();
}

// Connection.

void UdpEndpoint::take(const Intake::Arrival& arrival, TimePoint now) {
  if (!arrival.in_place.empty()) {
    Data data;
    parse_data(arrival.bytes.first<kDataHeaderSize>(), arrival.in_place, &data);
    is_bulk_ = data.payload.size() >= kWorthPeeking;
    connection_->receive(data, &drops_, now);
    return;
  }
  if (Data data; arrival.bytes.size() >= kDataHeaderSize &&
                 parse_data(arrival.bytes.first<kDataHeaderSize>(),
                            arrival.bytes.subspan(kDataHeaderSize), &data)) {
    is_bulk_ = data.payload.size() >= kWorthPeeking;
    connection_->receive(data, &drops_, now);
    return;
  }
  const Packet packet = parse(arrival.bytes);
  if (greeter_ && std::holds_alternative<Hello>(packet)) {
    // From the connected peer: our WELCOME was lost.
    if (const auto answer = greeter_->on_datagram(packet, greeter_->guest()->address, &drops_)) {
      static_cast<void>(::send(socket_->fd(), answer->bytes.data(), answer->size, MSG_DONTWAIT));
    }
  } else {
    connection_->receive(packet, &drops_, now);
  }
}

Intake::Outcome UdpEndpoint::look_ahead(std::optional<Inbox::Forecast>* forecast) {
  std::array<std::byte, kDataHeaderSize> header;
  std::size_t size = 0;
  const Intake::Outcome outcome = device_->intake.peek(socket_->fd(), header, &size);
  if (outcome != Intake::Outcome::some || size <= kDataHeaderSize) return outcome;
  // Only its length counts: the payload is still in the kernel.
  const std::span<const std::byte> payload(header.data(), size - kDataHeaderSize);
  Data data;
  if (parse_data(header, payload, &data) && data.connection == connection_->options().own_id) {
    *forecast = connection_->inbox().forecast_from(data);
  }
  return outcome;
}

bool UdpEndpoint::receive_batch() {
  Intake& intake = device_->intake;
  auto forecast = connection_->inbox().forecast();
  auto outcome = Intake::Outcome::some;
  if (!forecast && is_bulk_) outcome = look_ahead(&forecast);
  if (outcome == Intake::Outcome::some) {
    outcome = intake.receive(socket_->fd(), forecast ? &*forecast : nullptr,
                             connection_->options().own_id);
  }
  switch (outcome) {
    case Intake::Outcome::none:
      return false;
    case Intake::Outcome::refused:
      connection_->on_refused(Clock::now());
      return true;
    case Intake::Outcome::icmp:
      return true;  // can be forged; what does not arrive shows whether it is true
    case Intake::Outcome::failed:
      fail(Error::from_errno(intake.error(), "Cannot receive from " + peer_name_));
      return false;
    case Intake::Outcome::some:
      break;
  }
  const TimePoint now = Clock::now();
  Intake::Arrival arrival;
  while (!failure_) {
    if (const Data* together = intake.together();
        together != nullptr && connection_->takes_together(*together)) {
      is_bulk_ = together->chunk >= kWorthPeeking;
      connection_->receive(*together, &drops_, now);
      intake.skip_together();
    } else if (intake.next(&arrival)) {
      take(arrival, now);
    } else {
      break;
    }
  }
  return true;
}

bool UdpEndpoint::exchange(TimePoint now) {
  bool done = false;
  for (std::size_t i = 0; i < kProgressBatch && !failure_; ++i) {
    if (!receive_batch()) break;
    done = true;
    flush();
  }
  if (done) {
    now = Clock::now();
    report_drops(now);
  }
  if (!failure_ && now >= connection_->deadline()) connection_->on_time(now);
  flush();
  return done;
}

void UdpEndpoint::flush() {
  // As much as a window holds; arm() sees to the rest, after others had their turn.
  for (std::size_t i = 0; i < kProgressBatch && !failure_; ++i) {
    const TimePoint now = Clock::now();
    if (send_again_ && now < *send_again_) return;
    send_again_.reset();
    if (!connection_->wants_to_send(now)) return;
    SendBatch& batch = device_->batch;
    // Each datagram that cannot be sent uses up a packet number: try with one until it goes.
    batch.begin(socket_->can_segment(), send_failed_ ? 1 : SendBatch::kMaxDatagrams);
    if (!connection_->fill(&batch, now)) return;
    const auto result = batch.send(socket_->fd());
    send_failed_ = result.error != 0;
    if (result.error != 0 && !on_send_error(result, now)) return;
  }
}

/// Whether to try again at once.
bool UdpEndpoint::on_send_error(SendBatch::Result result, TimePoint now) {
  connection_->not_sent(device_->batch.numbers().subspan(result.sent), result.error, now);
  switch (result.error) {
    case ECONNREFUSED:  // of an earlier datagram
      connection_->on_refused(now);
      return true;
    case EMSGSIZE:
      return true;
    case EINVAL:
    case EIO:
      if (socket_->can_segment()) {
        log(LogLevel::info, "udp", "No UDP_SEGMENT towards " + peer_name_ + "; more calls instead");
        socket_->stop_segmenting();
        return true;
      }
      break;
    default:  // no room; or no route, or a firewall: may pass, else the silence tells
      break;
  }
  send_again_ = now + kSendRetry;
  return false;
}

// Posting.

Outbox* UdpEndpoint::writable(Posted* why_not) noexcept {
  *why_not = is_closed_ || failure_ ? Posted::failed : Posted::again;
  return *why_not == Posted::again && connection_ ? &connection_->outbox() : nullptr;
}

Posted UdpEndpoint::posted(bool accepted, bool at_once) {
  if (!accepted) return Posted::again;
  if (at_once && !in_progress_) flush();
  return Posted::ok;
}

Posted UdpEndpoint::refuse(const std::string& what) {
  fail(Error(ErrorCode::invalid_argument, what + " to " + peer_name_ + " can never work",
             "See the capabilities of the domain."));
  return Posted::failed;
}

Posted UdpEndpoint::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                          std::uint64_t key, std::optional<std::uint32_t> immediate,
                          std::uint64_t context) {
  Posted why_not;
  Outbox* outbox = writable(&why_not);
  if (outbox == nullptr) return why_not;
  std::size_t size = 0;
  for (const LocalPiece& piece : pieces) size += std::min(piece.size, kMaxWrite + 1);
  if (size > kMaxWrite || pieces.size() > kMaxPieces) {
    return refuse("A write of " + std::to_string(size) + " bytes in " +
                  std::to_string(pieces.size()) + " pieces");
  }
  // Without a word to the peer there is more to come, which goes better together; arm() sends it.
  return posted(outbox->post_write(pieces, target_address, key, immediate, context),
                immediate.has_value());
}

Posted UdpEndpoint::inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                                 std::uint64_t key, std::uint32_t immediate) {
  Posted why_not;
  Outbox* outbox = writable(&why_not);
  if (outbox == nullptr) return why_not;
  if (data.size() > kMaxInject) {
    return refuse("An injected write of " + std::to_string(data.size()) + " bytes");
  }
  return posted(outbox->post_inject(data, target_address, key, immediate), true);
}

Posted UdpEndpoint::read(const LocalPiece& destination, std::uint64_t source_address,
                         std::uint64_t key, std::uint64_t context) {
  Posted why_not;
  if (writable(&why_not) == nullptr) return why_not;
  if (destination.size > kMaxWrite) {
    return refuse("A read of " + std::to_string(destination.size) + " bytes");
  }
  return posted(connection_->read(const_cast<std::byte*>(destination.data), destination.size,
                                  source_address, key, context),
                true);
}

Posted UdpEndpoint::send(std::span<const std::byte> message, std::uint64_t context) {
  Posted why_not;
  Outbox* outbox = writable(&why_not);
  if (outbox == nullptr) return why_not;
  if (message.size() > kMaxMessage) {
    return refuse("A message of " + std::to_string(message.size()) + " bytes");
  }
  return posted(outbox->post_message(message, context), true);
}

// Life.

void UdpEndpoint::append_fds(std::vector<int>* fds) const {
  if (!is_closed_) fds->push_back(socket_->fd());
  fds->push_back(wake_.fd());
}

bool UdpEndpoint::arm() {
  if (failure_ && !is_closed_) return false;
  if (is_closed_) return true;
  const TimePoint now = Clock::now();
  TimePoint deadline = TimePoint::max();
  if (connection_) {
    const bool may_send = !send_again_ || now >= *send_again_;
    if (may_send && connection_->wants_to_send(now)) return false;
    deadline = connection_->deadline();
    if (!may_send) deadline = std::max(deadline, *send_again_);
  } else if (caller_) {
    deadline = std::min(caller_->next_hello(), call_ends_);
  } else {
    return true;
  }
  if (deadline <= now) return false;
  wake_.no_later_than(deadline);
  return true;
}

bool UdpEndpoint::progress() {
  if (in_progress_) return false;
  if (is_closed_) {
    wake_.clear(Clock::now());  // of a deadline of before; else it would wake for ever
    return false;
  }
  in_progress_ = true;
  const TimePoint now = Clock::now();
  wake_.clear(now);
  bool done = failure_.has_value();
  if (!failure_) {
    try {
      if (!connection_) done = greeter_ ? greet(now) : call(now);
      if (connection_ && !failure_) done |= exchange(now);
    } catch (const Error& error) {
      fail(error);
    }
  }
  if (failure_) finish();
  in_progress_ = false;
  return done;
}

void UdpEndpoint::fail(const Error& reason) {
  if (!failure_) failure_ = reason;
}

void UdpEndpoint::finish() {
  is_closed_ = true;
  say_goodbye();
  socket_.reset();
  user_.on_closed(*failure_);
}

void UdpEndpoint::say_goodbye() noexcept {
  if (!connection_) return;
  const bool violated = failure_ && failure_->code() == ErrorCode::protocol;
  std::array<std::byte, kHeaderSize> bytes;
  udp::write(Close{connection_->options().peer_id, violated ? Reason::violation : Reason::done},
             bytes);
  static_cast<void>(::send(socket_->fd(), bytes.data(), bytes.size(), MSG_DONTWAIT));
}

void UdpEndpoint::report_drops(TimePoint now) {
  if (now < next_report_) return;
  std::string what;
  const auto add = [&what](std::uint64_t count, std::uint64_t before, const char* kind) {
    if (count > before) {
      what += (what.empty() ? "" : ", ") + std::to_string(count - before) + " " + kind;
    }
  };
  add(drops_.wrong_token, reported_.wrong_token, "with a wrong token");
  add(drops_.malformed, reported_.malformed, "malformed");
  add(drops_.foreign, reported_.foreign, "of no connection here");
  add(drops_.out_of_window, reported_.out_of_window, "out of the window");
  if (what.empty()) return;
  reported_ = drops_;
  next_report_ = now + kLogInterval;
  log(LogLevel::warning, "udp",
      "Dropped datagrams from or instead of " + peer_name_ + " on " +
          device_->capabilities.interface + ": " + what);
}

}  // namespace grainfabric::transport::udp
