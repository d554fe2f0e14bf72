// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/channel.hpp"

#include <rdma/fi_cm.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_rma.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/log.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/message.hpp"
#include "transport/ofi/provider.hpp"
#include "transport/ofi/queues.hpp"

namespace grainfabric::transport::ofi {
namespace {

/// Where each immediate of the peer takes a posted receive, all that the device has are posted: a
/// burst that finds none stalls the peer for ever.
std::size_t receive_depth_of(const Device& device) {
  const std::size_t offered = std::max<std::size_t>(device.info().rx_attr->size, 1);
  return std::min(offered,
                  device.has_mode(FI_RX_CQ_DATA) ? kMaxReceiveDepth : kMessageReceiveDepth);
}

std::size_t send_depth_of(const Device& device) {
  return std::clamp<std::size_t>(device.info().tx_attr->size, 1, kSendDepth);
}

std::size_t message_size_of(const Device& device) {
  return device.capabilities().max_send + (device.is_connected_type() ? 0 : sizeof(MessageHeader));
}

void* descriptor_of(const LocalPiece& piece) {
  return piece.registration == nullptr
             ? nullptr
             : static_cast<const OfiRegistration*>(piece.registration)->descriptor();
}

}  // namespace

Channel::Channel(std::shared_ptr<const Device> device, fi_info& info, fid_eq* events,
                 fid_av* addresses, std::string name, ChannelEvents& user)
    : device_(std::move(device)),
      name_(std::move(name)),
      user_(user),
      receive_depth_(receive_depth_of(*device_)),
      shares_locks_(shares_locks(device_->capabilities().provider)),
      operations_(receive_depth_ + send_depth_of(*device_) + device_->capabilities().write_depth),
      buffers_(device_, receive_depth_ + send_depth_of(*device_), message_size_of(*device_)) {
  const std::size_t sends = send_depth_of(*device_);
  for (std::size_t i = 0; i < sends; ++i) {
    free_sends_.push_back(static_cast<std::uint32_t>(receive_depth_ + i));
  }
  unposted_.reserve(receive_depth_);
  vectors_.reserve(device_->capabilities().max_pieces);
  descriptors_.reserve(device_->capabilities().max_pieces);
  open_endpoint(info, events, addresses);
  if (shares_locks_) {
    BoundedLocks::lead_here(reinterpret_cast<const void*>(endpoint_.get()->rma->writemsg));
  }
  post_receives(receive_depth_);
}

Channel::~Channel() {
  // Tells the peer at once, where there is a connection to shut; fails where there is none.
  if (device_->is_connected_type() && endpoint_) fi_shutdown(endpoint_.get(), 0);
}

void Channel::open_endpoint(fi_info& info, fid_eq* events, fid_av* addresses) {
  const std::size_t immediates = device_->info().rx_attr->size;
  completions_ =
      open_completion_queue(*device_, device_->capabilities().write_depth + free_sends_.size() +
                                          std::max<std::size_t>(receive_depth_, immediates));
  if (device_->sleeps()) fd_ = ofi::descriptor_of(completions_.base(), device_->name());
  fid_ep* endpoint = nullptr;
  check(fi_endpoint(device_->domain(), &info, &endpoint, nullptr),
        "Cannot create an endpoint for " + name_);
  endpoint_ = Fid(endpoint);
  const std::string failure = "Cannot set up the endpoint for " + name_;
  check(fi_ep_bind(endpoint, completions_.base(), FI_TRANSMIT | FI_RECV), failure);
  if (events != nullptr) check(fi_ep_bind(endpoint, &events->fid, 0), failure);
  if (addresses != nullptr) check(fi_ep_bind(endpoint, &addresses->fid, 0), failure);
  check(fi_enable(endpoint), failure);
}

void Channel::post_receives(std::size_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    Operation* operation = operations_.take(Operation::Kind::receive);
    operation->buffer = i;
    unposted_.push_back(operation);
  }
  repost_receives();
}

void Channel::repost_receives() {
  while (!unposted_.empty()) {
    Operation* operation = unposted_.back();
    const auto buffer = buffers_.at(operation->buffer);
    const ssize_t result = fi_recv(endpoint_.get(), buffer.data(), buffer.size(),
                                   buffers_.descriptor(), FI_ADDR_UNSPEC, &operation->scratch);
    if (result == -FI_EAGAIN) return;
    if (result != 0) {
      user_.channel_failed(error_of(static_cast<int>(-result), "Cannot receive from " + name_));
      return;
    }
    unposted_.pop_back();
  }
}

void Channel::post_receive(Operation& operation) {
  unposted_.push_back(&operation);
  repost_receives();
}

Posted Channel::reject(const std::string& why) {
  user_.channel_failed(Error(ErrorCode::invalid_argument, why + " to " + name_));
  return Posted::failed;
}

bool Channel::lost_to(const BoundedLocks& locks) {
  if (!locks.were_forced()) return false;
  user_.channel_failed(Error(ErrorCode::disconnected,
                             name_ + " died or was stopped while it held a lock of shared memory"));
  return true;
}

Posted Channel::conclude(ssize_t result, Operation* operation, const char* what,
                         const BoundedLocks& locks) {
  if (lost_to(locks)) return Posted::failed;  // nobody knows what became of the operation
  if (result == 0) return Posted::ok;
  if (operation != nullptr) retire(*operation);
  if (result == -FI_EAGAIN) return Posted::again;
  user_.channel_failed(error_of(static_cast<int>(-result), std::string(what) + " " + name_));
  return Posted::failed;
}

Posted Channel::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                      std::uint64_t key, std::optional<std::uint32_t> immediate,
                      std::uint64_t context) {
  const Capabilities& can = device_->capabilities();
  if (pieces.size() > can.max_pieces) return reject("A write of too many pieces");
  vectors_.clear();
  descriptors_.clear();
  std::size_t size = 0;
  for (const LocalPiece& piece : pieces) {
    if (can.local_registration && piece.registration == nullptr) {
      return reject("A write from memory that is not registered");
    }
    if (piece.size > can.max_write - size) return reject("A write that is too long");
    size += piece.size;
    vectors_.push_back({const_cast<std::byte*>(piece.data), piece.size});
    descriptors_.push_back(descriptor_of(piece));
  }
  Operation* operation = operations_.take(Operation::Kind::transfer);
  if (operation == nullptr) return Posted::again;
  operation->user = context;
  const fi_rma_iov target{target_address, size, key};
  fi_msg_rma message{};
  message.msg_iov = vectors_.data();
  message.desc = descriptors_.data();
  message.iov_count = vectors_.size();
  message.addr = peer_;
  message.rma_iov = &target;
  message.rma_iov_count = 1;
  message.context = &operation->scratch;
  message.data = immediate.value_or(0);
  const BoundedLocks locks(shares_locks_);
  const ssize_t result =
      fi_writemsg(endpoint_.get(), &message, FI_COMPLETION | (immediate ? FI_REMOTE_CQ_DATA : 0));
  return conclude(result, operation, "Cannot write to", locks);
}

Posted Channel::inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                             std::uint64_t key, std::optional<std::uint32_t> immediate) {
  if (data.size() > device_->capabilities().max_inject) {
    return reject("An injected write that is too long");
  }
  const BoundedLocks locks(shares_locks_);
  const ssize_t result = immediate ? fi_inject_writedata(endpoint_.get(), data.data(), data.size(),
                                                         *immediate, peer_, target_address, key)
                                   : fi_inject_write(endpoint_.get(), data.data(), data.size(),
                                                     peer_, target_address, key);
  return conclude(result, nullptr, "Cannot write to", locks);
}

Posted Channel::read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
                     std::uint64_t context) {
  const Capabilities& can = device_->capabilities();
  if (can.local_registration && destination.registration == nullptr) {
    return reject("A read into memory that is not registered");
  }
  if (destination.size > can.max_write) return reject("A read that is too long");
  Operation* operation = operations_.take(Operation::Kind::transfer);
  if (operation == nullptr) return Posted::again;
  operation->user = context;
  const BoundedLocks locks(shares_locks_);
  const ssize_t result =
      fi_read(endpoint_.get(), const_cast<std::byte*>(destination.data), destination.size,
              descriptor_of(destination), peer_, source_address, key, &operation->scratch);
  return conclude(result, operation, "Cannot read from", locks);
}

Posted Channel::send(std::span<const std::byte> head, std::span<const std::byte> body,
                     std::optional<std::uint64_t> user) {
  if (free_sends_.empty()) return Posted::again;
  const std::uint32_t index = free_sends_.back();
  const auto buffer = buffers_.at(index);
  const std::size_t size = head.size() + body.size();
  if (size > buffer.size()) return reject("A message that is too long");
  Operation* operation =
      operations_.take(user ? Operation::Kind::message : Operation::Kind::handshake);
  if (operation == nullptr) return Posted::again;
  free_sends_.pop_back();
  operation->user = user.value_or(0);
  operation->buffer = index;
  std::copy(head.begin(), head.end(), buffer.begin());
  std::copy(body.begin(), body.end(), buffer.begin() + static_cast<std::ptrdiff_t>(head.size()));
  const BoundedLocks locks(shares_locks_);
  const ssize_t result = fi_send(endpoint_.get(), buffer.data(), size, buffers_.descriptor(), peer_,
                                 &operation->scratch);
  return conclude(result, operation, "Cannot send to", locks);
}

void Channel::try_inject(std::span<const std::byte> message) noexcept {
  if (message.size() > device_->capabilities().max_inject) return;
  const BoundedLocks locks(shares_locks_);  // whatever becomes of it
  fi_inject(endpoint_.get(), message.data(), message.size(), peer_);
}

void Channel::retire(Operation& operation) {
  if (operation.kind != Operation::Kind::transfer) free_sends_.push_back(operation.buffer);
  operations_.put_back(operation);
}

std::size_t Channel::drain(std::size_t limit) {
  const BoundedLocks locks(shares_locks_);
  if (!unposted_.empty()) repost_receives();
  std::array<fi_cq_data_entry, kProgressBatch> entries;
  std::size_t served = 0;
  while (served < limit) {
    const std::size_t most = std::min(entries.size(), limit - served);
    const ssize_t count = fi_cq_read(completions_.get(), entries.data(), most);
    if (count == -FI_EAVAIL) {
      serve_failure();
      ++served;
      continue;
    }
    if (count < 0 && count != -FI_EAGAIN && count != -FI_EINTR) {
      user_.channel_failed(
          error_of(static_cast<int>(-count), "Completions of " + name_ + " cannot be read"));
      break;
    }
    if (count <= 0) break;
    for (ssize_t i = 0; i < count; ++i) serve(entries[static_cast<std::size_t>(i)]);
    served += static_cast<std::size_t>(count);
  }
  lost_to(locks);
  return served;
}

void Channel::serve(const fi_cq_data_entry& entry) {
  // FI_REMOTE_CQ_DATA alone does not tell: sockets has it on this side's own writes too.
  if ((entry.flags & FI_REMOTE_WRITE) != 0) {
    // Of a peer's write only the immediate can be trusted; the context is a receive of ours where
    // the provider takes one for each immediate, and anything elsewhere.
    if (device_->has_mode(FI_RX_CQ_DATA)) {
      Operation* operation = operations_.find(entry.op_context);
      if (operation != nullptr && operation->kind == Operation::Kind::receive) {
        post_receive(*operation);
      }
    }
    if ((entry.flags & FI_REMOTE_CQ_DATA) != 0) {
      user_.channel_immediate(static_cast<std::uint32_t>(entry.data));
    }
    return;
  }
  if ((entry.flags & FI_REMOTE_READ) != 0) return;
  Operation* operation = operations_.find(entry.op_context);
  if (operation == nullptr) {
    log(LogLevel::warning, "ofi", name_ + " completed something that was never posted");
    return;
  }
  if (operation->kind == Operation::Kind::receive) {
    serve_receive(*operation, entry.len);
    return;
  }
  const bool is_users = operation->kind != Operation::Kind::handshake;
  const std::uint64_t user = operation->user;
  retire(*operation);  // before the user hears of it, who may post the next at once
  if (is_users) user_.channel_completed(user);
}

void Channel::serve_receive(Operation& operation, std::size_t size) {
  const auto buffer = buffers_.at(operation.buffer);
  user_.channel_message(buffer.first(std::min(size, buffer.size())));
  post_receive(operation);
}

void Channel::serve_failure() {
  fi_cq_err_entry entry{};
  const ssize_t count = fi_cq_readerr(completions_.get(), &entry, 0);
  if (count == -FI_EAGAIN) return;
  if (count < 0) {
    user_.channel_failed(
        error_of(static_cast<int>(-count), "Errors of " + name_ + " cannot be read"));
    return;
  }
  std::array<char, 128> text{};
  std::string detail;
  if (entry.prov_errno != 0) {
    const char* words = fi_cq_strerror(completions_.get(), entry.prov_errno, entry.err_data,
                                       text.data(), text.size());
    if (words != nullptr) detail = words;
  }
  Operation* operation = operations_.find(entry.op_context);
  const bool is_receive = operation != nullptr && operation->kind == Operation::Kind::receive;
  if (is_receive && entry.err == FI_ETRUNC && !device_->is_connected_type()) {
    log(LogLevel::warning, "ofi", name_ + " got a message that is too long from somebody");
    post_receive(*operation);
    return;
  }
  if (operation != nullptr && !is_receive) retire(*operation);
  // A receive is only ever cancelled by the connection breaking or by this side closing.
  const char* what = is_receive ? "Receiving from " : "A transfer to or from ";
  user_.channel_failed(error_of(entry.err, what + name_ + " failed", {}, detail));
}

}  // namespace grainfabric::transport::ofi
