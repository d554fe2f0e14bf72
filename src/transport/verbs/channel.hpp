// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "transport/verbs/message_buffers.hpp"
#include "transport/verbs/operations.hpp"
#include "transport/verbs/queue_pair.hpp"

namespace grainfabric::transport::verbs {

/// What a Channel tells its owner, from inside serve() or, for channel_failed(), any member.
/// None may destroy the Channel; all may post.
class ChannelEvents {
 public:
  virtual void channel_completed(std::uint64_t user) = 0;
  virtual void channel_immediate(std::uint32_t immediate) = 0;
  /// Valid during the call.
  virtual void channel_message(std::span<const std::byte> message) = 0;
  /// Possibly several times: each transfer in flight fails by itself.
  virtual void channel_failed(const Error& reason) = 0;

 protected:
  ~ChannelEvents() = default;
};

/// One queue pair and all that is posted to it: how data moves, once connect() has been told with
/// whom. One thread.
class Channel {
 public:
  /// Makes the queue pair for connection `id` on `queue`, and posts all receives. `name` is for
  /// messages: both ends. Throws Error.
  Channel(std::shared_ptr<const Device> device, const QueueSizes& sizes, rdma_cm_id& id,
          ibv_cq* queue, std::string name, ChannelEvents& user);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] std::uint32_t number() const noexcept { return pair_->qp_num; }
  [[nodiscard]] bool owns(const ibv_qp* pair) const noexcept { return pair == pair_.get(); }
  /// Writes may be posted afterwards. Throws Error.
  void connect(rdma_cm_id& id, ibv_mtu mtu) { make_ready_to_send(*device_, id, *pair_, mtu); }

  // As Endpoint has them.
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context);
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::uint32_t immediate);
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context);
  Posted send(std::span<const std::byte> message, std::uint64_t context);

  /// Takes a completion of this queue pair.
  void serve(const ibv_wc& completion);

 private:
  void post_receive(std::uint32_t buffer);
  void serve_receive(const ibv_wc& completion, std::uint32_t buffer);
  void retire(Operation& operation);
  /// Work requests of a transfer of `size` bytes.
  [[nodiscard]] std::uint32_t requests_for(std::size_t size) const noexcept;
  /// Cuts pieces_ into requests_ of at most slice_size bytes; returns how many.
  std::uint32_t cut(std::size_t size, std::uint64_t remote_address, std::uint64_t key,
                    ibv_wr_opcode opcode);
  /// Posts the first `count` of requests_ as `operation`.
  Posted post(Operation& operation, std::uint32_t count, unsigned flags);
  /// The list of local memory of a transfer in pieces_; false if it cannot be.
  bool gather(std::span<const LocalPiece> pieces, std::size_t* size);
  /// Copies `data` to a send buffer as the one entry of requests_[0]; false if none is free.
  bool stage(Operation& operation, std::span<const std::byte> data);
  Posted reject(const std::string& why);

  std::shared_ptr<const Device> device_;
  std::string name_;
  ChannelEvents& user_;
  QueueSizes sizes_;        // lowered by the making of the pair
  MessageBuffers buffers_;  // receives first, then sends
  QueuePair pair_;          // goes before what it uses
  Operations operations_;
  std::vector<std::uint32_t> free_buffers_;
  std::vector<ibv_sge> pieces_;        // of the transfer being posted
  std::vector<ibv_sge> entries_;       // likewise, cut into requests
  std::vector<ibv_send_wr> requests_;  // likewise
};

}  // namespace grainfabric::transport::verbs
