// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transport/verbs/channel.hpp"
#include "transport/verbs/completions.hpp"

namespace grainfabric::transport::verbs {

/// What the connection manager knows of a queue pair, and the queue pair.
struct Connection {
  ConnectionId id;
  std::unique_ptr<Channel> channel;
};

/// The queue pairs of one endpoint and the completion queues that they share: added one by one,
/// posted to in turn, drained together. One thread.
class Connections {
 public:
  Connections(std::shared_ptr<const Device> device, ChannelEvents& user)
      : device_(std::move(device)), user_(user) {}

  /// Says how many there will be; before the first. Throws Error if the device has no room for
  /// them.
  void expect(int queue_pairs);
  /// Takes over `id` and makes the queue pair for it. `name` is for messages: both ends. Throws
  /// Error.
  Connection& add(ConnectionId id, const std::string& name);
  /// That the manager has said so of this one. Returns whether now all that are expected stand.
  bool note_standing(const rdma_cm_id* id) noexcept;
  /// Disconnects and destroys all: the peer hears of it at once.
  void close() noexcept;

  [[nodiscard]] std::size_t expected() const noexcept { return expected_; }
  [[nodiscard]] std::size_t standing() const noexcept { return standing_; }
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  /// Null for what is none of these.
  [[nodiscard]] const Connection* find(const rdma_cm_id* id) const noexcept;
  [[nodiscard]] const Connection* find(const ibv_qp* pair) const noexcept;
  [[nodiscard]] bool has(const ibv_cq* queue) const noexcept;
  /// Completions that there can be at once.
  [[nodiscard]] std::size_t depth() const noexcept;

  void append_fds(std::vector<int>* fds) const;
  /// As Pollable has it. Throws Error.
  bool arm();
  /// Serves at most `limit` completions of each completion queue; returns how many in all. Throws
  /// Error.
  std::size_t drain(std::size_t limit);

  // As Endpoint has them. What has a length goes to each queue pair in turn, past those that are
  // full; what must stay in order goes to the first.
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context);
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context);
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::uint32_t immediate) {
    return all_.front().channel->inject_write(data, target_address, key, immediate);
  }
  Posted send(std::span<const std::byte> message, std::uint64_t context) {
    return all_.front().channel->send(message, context);
  }

 private:
  template <typename Post>
  Posted in_turn(const Post& post);
  void serve(const ibv_wc& completion);

  std::shared_ptr<const Device> device_;
  ChannelEvents& user_;
  std::size_t expected_ = 0;
  std::size_t standing_ = 0;
  QueueSizes sizes_;  // of each, as asked for
  std::vector<std::unique_ptr<Completions>> completions_;
  std::vector<Connection> all_;  // goes before the queues that it uses
  std::size_t turn_ = 0;
};

}  // namespace grainfabric::transport::verbs
