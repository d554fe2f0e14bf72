// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/endpoint.hpp"

#include <rdma/fi_errno.h>

#include <algorithm>

#include "base/log.hpp"
#include "transport/ofi/error.hpp"

namespace grainfabric::transport::ofi {

OfiEndpoint::OfiEndpoint(std::shared_ptr<const Device> device, EndpointEvents& user)
    : device_(std::move(device)), user_(user) {}

Channel* OfiEndpoint::writable(Posted* why_not) const noexcept {
  if (state_ == State::closed || failure_) {
    *why_not = Posted::failed;
    return nullptr;
  }
  *why_not = Posted::again;
  return state_ == State::connected ? channel() : nullptr;
}

Posted OfiEndpoint::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                          std::uint64_t key, std::optional<std::uint32_t> immediate,
                          std::uint64_t context) {
  Posted why_not;
  Channel* open = writable(&why_not);
  return open == nullptr ? why_not
                         : post_write(*open, pieces, target_address, key, immediate, context);
}

Posted OfiEndpoint::post_write(Channel& channel, std::span<const LocalPiece> pieces,
                               std::uint64_t target_address, std::uint64_t key,
                               std::optional<std::uint32_t> immediate, std::uint64_t context) {
  return channel.write(pieces, target_address, key, immediate, context);
}

Posted OfiEndpoint::inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                                 std::uint64_t key, std::uint32_t immediate) {
  Posted why_not;
  Channel* open = writable(&why_not);
  return open == nullptr ? why_not : post_inject(*open, data, target_address, key, immediate);
}

Posted OfiEndpoint::post_inject(Channel& channel, std::span<const std::byte> data,
                                std::uint64_t target_address, std::uint64_t key,
                                std::uint32_t immediate) {
  return channel.inject_write(data, target_address, key, immediate);
}

Posted OfiEndpoint::read(const LocalPiece& destination, std::uint64_t source_address,
                         std::uint64_t key, std::uint64_t context) {
  Posted why_not;
  Channel* open = writable(&why_not);
  return open == nullptr ? why_not : open->read(destination, source_address, key, context);
}

Posted OfiEndpoint::send(std::span<const std::byte> message, std::uint64_t context) {
  Posted why_not;
  Channel* open = writable(&why_not);
  return open == nullptr ? why_not : send_message(*open, message, context);
}

void OfiEndpoint::append_fds(std::vector<int>* fds) const {
  if (!device_->sleeps()) return;
  fds->push_back(timer_.fd());
  if (state_ == State::closed) return;
  objects_.clear();
  add_waitables(fds, &objects_);
}

bool OfiEndpoint::arm() {
  if (state_ == State::closed) return true;  // the failure was told; there is nothing to do
  if (failure_) return false;
  if (!device_->sleeps()) return true;
  std::optional<Timer::Clock::time_point> wake = retry_;
  if (deadline_ && (!wake || *deadline_ < *wake)) wake = deadline_;
  timer_.set(wake);
  fds_.clear();
  objects_.clear();
  add_waitables(&fds_, &objects_);
  const int result =
      fi_trywait(device_->fabric(), objects_.data(), static_cast<int>(objects_.size()));
  if (result == 0) return true;
  if (result != -FI_EAGAIN) fail(error_of(-result, "Cannot wait for " + peer_name_));
  return false;
}

bool OfiEndpoint::progress() {
  if (state_ == State::closed || in_progress_) return false;
  in_progress_ = true;
  bool done = timer_.acknowledge();
  retry_.reset();
  if (!failure_) {
    try {
      done |= drive();
    } catch (const Error& error) {
      fail(error);
    }
  }
  if (state_ == State::connecting && deadline_ && Timer::Clock::now() >= *deadline_) {
    fail(Error(ErrorCode::timed_out,
               "No answer from " + peer_name_ + " within " +
                   std::to_string(kConnectTimeout.count()) + " ms",
               "Check that both sides use the same provider, and that no firewall is between the "
               "data addresses."));
  }
  if (failure_) {
    finish();
    done = true;
  } else if (channel() != nullptr && channel()->lacks_receives()) {
    retry_soon();
  }
  in_progress_ = false;
  return done;
}

void OfiEndpoint::finish() {
  // What arrived before the end is delivered before the end is told; bounded, since a peer that
  // has not gone could keep it busy.
  constexpr std::size_t kMostToDrain = 2 * kMaxWriteDepth;
  if (Channel* open = channel(); open != nullptr && state_ == State::connected) {
    open->drain(kMostToDrain);
  }
  state_ = State::closed;
  timer_.set(std::nullopt);
  close();
  user_.on_closed(*failure_);
}

void OfiEndpoint::established() {
  state_ = State::connected;
  deadline_.reset();
  log(LogLevel::debug, "ofi", "Connected: " + peer_name_);
  user_.on_connected();
}

void OfiEndpoint::fail(const Error& reason) {
  if (!failure_) failure_ = reason;
}

void OfiEndpoint::start_deadline() {
  deadline_ = Timer::Clock::now() + kConnectTimeout;
}

void OfiEndpoint::retry_soon() {
  retry_ = Timer::Clock::now() + kRetryPause;
}

void OfiEndpoint::set_peer_name(const std::string& peer) {
  peer_name_ = peer + " (" + device_->name() + ")";
}

void OfiEndpoint::channel_completed(std::uint64_t user) {
  if (state_ == State::connected) user_.on_completed(user);
}

void OfiEndpoint::channel_immediate(std::uint32_t immediate) {
  if (state_ == State::connected) {
    user_.on_immediate(immediate);
  } else {
    log(LogLevel::warning, "ofi", peer_name_ + " wrote before it was connected; ignored");
  }
}

}  // namespace grainfabric::transport::ofi
