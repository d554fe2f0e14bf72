// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/completions.hpp"

#include <fcntl.h>

#include <cerrno>

#include "transport/verbs/error.hpp"

namespace grainfabric::transport::verbs {

Completions::Completions(const Device& device, int depth)
    : device_(device), channel_(ibv_create_comp_channel(device.context())) {
  const std::string failure = "Cannot create a completion queue of " + std::to_string(depth) +
                              " entries on " + device.name();
  if (!channel_) throw Error::from_errno(errno, failure);
  const int flags = ::fcntl(fd(), F_GETFL);
  if (flags < 0 || ::fcntl(fd(), F_SETFL, flags | O_NONBLOCK) != 0) {
    throw Error::from_errno(errno, failure);
  }
  queue_.reset(ibv_create_cq(device.context(), depth, nullptr, channel_.get(), 0));
  if (!queue_) {
    throw Error::from_errno(errno, failure, "Lower max-wr or cqs-per-device of [verbs].");
  }
}

Completions::~Completions() {
  if (queue_ && unacknowledged_ > 0) ibv_ack_cq_events(queue_.get(), unacknowledged_);
}

bool Completions::arm() {
  if (first_ != last_) return false;
  if (!armed_) {
    check_number(ibv_req_notify_cq(queue_.get(), 0), "Cannot wait for " + device_.name());
    armed_ = true;
  }
  // What came before the request wakes nobody: look again.
  return !refill();
}

std::optional<ibv_wc> Completions::next() {
  if (armed_) take_events();
  if (first_ == last_ && !refill()) return std::nullopt;
  return batch_[first_++];
}

bool Completions::refill() {
  const int count = ibv_poll_cq(queue_.get(), static_cast<int>(batch_.size()), batch_.data());
  if (count < 0) {
    throw Error(ErrorCode::io, "The completion queue on " + device_.name() + " is broken");
  }
  first_ = 0;
  last_ = static_cast<std::size_t>(count);
  return count > 0;
}

void Completions::take_events() {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (ibv_get_cq_event(channel_.get(), &queue, &context) == 0) {
    armed_ = false;
    if (++unacknowledged_ == kAcknowledgeBatch) {
      ibv_ack_cq_events(queue_.get(), unacknowledged_);
      unacknowledged_ = 0;
    }
  }
}

}  // namespace grainfabric::transport::verbs
