// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/channel.hpp"

#include <algorithm>
#include <cstring>

#include "base/log.hpp"
#include "transport/verbs/error.hpp"

namespace grainfabric::transport::verbs {
namespace {

/// Tells receives from Operations in the id of a work request.
constexpr std::uint64_t kReceive = std::uint64_t{1} << 63U;

}  // namespace

Channel::Channel(std::shared_ptr<const Device> device, const QueueSizes& sizes, rdma_cm_id& id,
                 ibv_cq* queue, std::string name, ChannelEvents& user)
    : device_(std::move(device)),
      name_(std::move(name)),
      user_(user),
      sizes_(sizes),
      buffers_(device_, sizes_.receives + kSendBuffers),
      pair_(make_queue_pair(*device_, queue, &sizes_)),
      operations_(sizes_.sends) {
  for (std::uint32_t i = 0; i < kSendBuffers; ++i) free_buffers_.push_back(sizes_.receives + i);
  const auto most_pieces = static_cast<std::size_t>(device_->settings().max_sge);
  pieces_.reserve(most_pieces);
  entries_.reserve(most_pieces + sizes_.sends);  // each cut makes one more
  requests_.resize(sizes_.sends);
  make_ready_for_receives(*device_, id, *pair_);
  for (std::uint32_t i = 0; i < sizes_.receives; ++i) post_receive(i);
}

void Channel::post_receive(std::uint32_t buffer) {
  ibv_sge entry = buffers_.entry(buffer, kMaxMessage);
  ibv_recv_wr request{};
  request.wr_id = kReceive | buffer;
  request.sg_list = &entry;
  request.num_sge = 1;
  ibv_recv_wr* refused = nullptr;
  if (const int result = ibv_post_recv(pair_.get(), &request, &refused); result != 0) {
    user_.channel_failed(Error::from_errno(result, "Cannot receive from " + name_));
  }
}

Posted Channel::reject(const std::string& why) {
  user_.channel_failed(Error(ErrorCode::invalid_argument, why + " to " + name_));
  return Posted::failed;
}

bool Channel::gather(std::span<const LocalPiece> pieces, std::size_t* size) {
  const Capabilities& can = device_->capabilities();
  pieces_.clear();
  *size = 0;
  if (pieces.size() > can.max_pieces) {
    reject("A transfer of too many pieces");
    return false;
  }
  for (const LocalPiece& piece : pieces) {
    if (piece.registration == nullptr) {
      reject("A transfer of memory that is not registered");
      return false;
    }
    if (piece.size > can.max_write - *size) {
      reject("A transfer that is too long");
      return false;
    }
    *size += piece.size;
    pieces_.push_back({reinterpret_cast<std::uint64_t>(piece.data),
                       static_cast<std::uint32_t>(piece.size),
                       static_cast<const VerbsRegistration*>(piece.registration)->local_key()});
  }
  return true;
}

std::uint32_t Channel::requests_for(std::size_t size) const noexcept {
  const std::size_t slice = device_->settings().slice_size;
  return static_cast<std::uint32_t>(std::max<std::size_t>((size + slice - 1) / slice, 1));
}

std::uint32_t Channel::cut(std::size_t size, std::uint64_t remote_address, std::uint64_t key,
                           ibv_wr_opcode opcode) {
  const std::size_t slice = device_->settings().slice_size;
  entries_.clear();
  std::uint32_t count = 0;
  std::size_t piece = 0;
  std::uint32_t used = 0;  // of that piece
  for (std::size_t done = 0; done < size || count == 0;) {
    ibv_send_wr& request = requests_[count++];
    request = {};
    request.opcode = opcode;
    request.sg_list = entries_.data() + entries_.size();  // reserved: it stays where it is
    request.wr.rdma.remote_addr = remote_address + done;
    request.wr.rdma.rkey = static_cast<std::uint32_t>(key);
    std::size_t room = std::min(slice, size - done);
    done += room;
    while (room > 0) {
      const ibv_sge& from = pieces_[piece];
      const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(from.length - used, room));
      if (part > 0) {
        entries_.push_back({from.addr + used, part, from.lkey});
        ++request.num_sge;
      }
      room -= part;
      used += part;
      if (used == from.length) ++piece, used = 0;
    }
  }
  return count;
}

Posted Channel::post(Operation& operation, std::uint32_t count, unsigned flags) {
  for (std::uint32_t i = 0; i < count; ++i) {
    // All carry it: one that fails completes although it was not asked to.
    requests_[i].wr_id = operations_.index_of(operation);
    requests_[i].next = i + 1 < count ? &requests_[i + 1] : nullptr;
    requests_[i].send_flags = flags | (i + 1 < count ? 0U : unsigned{IBV_SEND_SIGNALED});
  }
  ibv_send_wr* refused = nullptr;
  const int result = ibv_post_send(pair_.get(), requests_.data(), &refused);
  if (result == 0) return Posted::ok;
  // The places are counted, so a queue that is full would be a surprise; what was accepted before
  // `refused` still is in flight, and nothing can be said of the operation.
  user_.channel_failed(Error::from_errno(result, "Cannot post to " + name_));
  return Posted::failed;
}

Posted Channel::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                      std::uint64_t key, std::optional<std::uint32_t> immediate,
                      std::uint64_t context) {
  std::size_t size = 0;
  if (!gather(pieces, &size)) return Posted::failed;
  const std::uint32_t needed = requests_for(size);
  if (needed > sizes_.sends) return reject("A transfer that is too long");
  Operation* operation = operations_.take(Operation::Kind::transfer, needed);
  if (operation == nullptr) return Posted::again;
  operation->user = context;
  const std::uint32_t count = cut(size, target_address, key, IBV_WR_RDMA_WRITE);
  if (immediate) {
    requests_[count - 1].opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    requests_[count - 1].imm_data = htonl(*immediate);
  }
  return post(*operation, count, 0);
}

Posted Channel::inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                             std::uint64_t key, std::uint32_t immediate) {
  if (data.size() > kMaxMessage) return reject("An injected write that is too long");
  Operation* operation = operations_.take(Operation::Kind::silent, 1);
  if (operation == nullptr) return Posted::again;
  const bool goes_inline = data.size() <= sizes_.inline_size;
  ibv_sge entry{reinterpret_cast<std::uint64_t>(data.data()),
                static_cast<std::uint32_t>(data.size()), 0};
  if (!goes_inline && !stage(*operation, data)) return Posted::again;
  ibv_send_wr& request = requests_[0];
  if (goes_inline) {
    request = {};
    request.sg_list = &entry;
    request.num_sge = 1;
  }
  request.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
  request.imm_data = htonl(immediate);
  request.wr.rdma.remote_addr = target_address;
  request.wr.rdma.rkey = static_cast<std::uint32_t>(key);
  return post(*operation, 1, goes_inline ? unsigned{IBV_SEND_INLINE} : 0U);
}

Posted Channel::read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
                     std::uint64_t context) {
  std::size_t size = 0;
  if (!gather({&destination, 1}, &size)) return Posted::failed;
  const std::uint32_t needed = requests_for(size);
  if (needed > sizes_.sends) return reject("A transfer that is too long");
  Operation* operation = operations_.take(Operation::Kind::transfer, needed);
  if (operation == nullptr) return Posted::again;
  operation->user = context;
  return post(*operation, cut(size, source_address, key, IBV_WR_RDMA_READ), 0);
}

bool Channel::stage(Operation& operation, std::span<const std::byte> data) {
  if (free_buffers_.empty()) {
    operations_.put_back(operation);
    return false;
  }
  operation.buffer = free_buffers_.back();
  free_buffers_.pop_back();
  std::copy(data.begin(), data.end(), buffers_.at(operation.buffer).begin());
  entries_.assign(1, buffers_.entry(operation.buffer, data.size()));
  requests_[0] = {};
  requests_[0].sg_list = entries_.data();
  requests_[0].num_sge = 1;
  return true;
}

Posted Channel::send(std::span<const std::byte> message, std::uint64_t context) {
  if (message.size() > kMaxMessage) return reject("A message that is too long");
  Operation* operation = operations_.take(Operation::Kind::message, 1);
  if (operation == nullptr || !stage(*operation, message)) return Posted::again;
  operation->user = context;
  requests_[0].opcode = IBV_WR_SEND;
  return post(*operation, 1, message.size() <= sizes_.inline_size ? unsigned{IBV_SEND_INLINE} : 0U);
}

void Channel::retire(Operation& operation) {
  if (operation.buffer != Operation::kNoBuffer) free_buffers_.push_back(operation.buffer);
  operations_.put_back(operation);
}

void Channel::serve(const ibv_wc& completion) {
  // Of a failed one only id and status mean anything.
  const bool is_receive = (completion.wr_id & kReceive) != 0;
  Operation* operation = is_receive ? nullptr : operations_.find(completion.wr_id);
  if (completion.status != IBV_WC_SUCCESS) {
    user_.channel_failed(completion_error(completion.status, name_));
    return;  // what it held goes with the channel: others of its requests may be in flight
  }
  if (is_receive) {
    serve_receive(completion, static_cast<std::uint32_t>(completion.wr_id));
    return;
  }
  if (operation == nullptr) {
    log(LogLevel::warning, "verbs", name_ + " completed something that was never posted");
    return;
  }
  const bool is_users = operation->kind != Operation::Kind::silent;
  const std::uint64_t user = operation->user;
  retire(*operation);  // before the user hears of it, who may post the next at once
  if (is_users) user_.channel_completed(user);
}

void Channel::serve_receive(const ibv_wc& completion, std::uint32_t buffer) {
  // The receive goes back before the user hears of an immediate, so that the depth stays full; a
  // message is in it until the user has seen it.
  if (completion.opcode == IBV_WC_RECV_RDMA_WITH_IMM) {
    post_receive(buffer);
    user_.channel_immediate(ntohl(completion.imm_data));
  } else {
    user_.channel_message(
        buffers_.at(buffer).first(std::min<std::size_t>(completion.byte_len, kMaxMessage)));
    post_receive(buffer);
  }
}

}  // namespace grainfabric::transport::verbs
