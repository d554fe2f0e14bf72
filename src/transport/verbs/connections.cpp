// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/connections.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace grainfabric::transport::verbs {

void Connections::expect(int queue_pairs) {
  sizes_ = device_->queue_sizes(queue_pairs);
  expected_ = static_cast<std::size_t>(queue_pairs);
  const auto most = static_cast<std::size_t>(device_->settings().cqs_per_device);
  const std::size_t queues = std::min(most, expected_);
  const std::size_t sharing = (expected_ + queues - 1) / queues;
  for (std::size_t i = 0; i < queues; ++i) {
    completions_.push_back(std::make_unique<Completions>(
        *device_, static_cast<int>(sharing * (sizes_.sends + sizes_.receives))));
  }
}

Connection& Connections::add(ConnectionId id, const std::string& name) {
  ibv_cq* queue = completions_[all_.size() % completions_.size()]->queue();
  auto channel = std::make_unique<Channel>(device_, sizes_, *id, queue, name, user_);
  all_.push_back({std::move(id), std::move(channel)});
  return all_.back();
}

bool Connections::note_standing(const rdma_cm_id* id) noexcept {
  return find(id) != nullptr && ++standing_ == expected_;
}

void Connections::close() noexcept {
  for (const Connection& one : all_) rdma_disconnect(one.id.get());
  all_.clear();
  completions_.clear();
}

const Connection* Connections::find(const rdma_cm_id* id) const noexcept {
  const auto found =
      std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one.id.get() == id; });
  return found == all_.end() ? nullptr : &*found;
}

const Connection* Connections::find(const ibv_qp* pair) const noexcept {
  const auto found = std::find_if(all_.begin(), all_.end(),
                                  [&](const auto& one) { return one.channel->owns(pair); });
  return found == all_.end() ? nullptr : &*found;
}

bool Connections::has(const ibv_cq* queue) const noexcept {
  return std::any_of(completions_.begin(), completions_.end(),
                     [&](const auto& one) { return one->queue() == queue; });
}

std::size_t Connections::depth() const noexcept {
  return expected_ * (sizes_.sends + sizes_.receives);
}

void Connections::append_fds(std::vector<int>* fds) const {
  for (const auto& one : completions_) fds->push_back(one->fd());
}

bool Connections::arm() {
  bool all_armed = true;
  for (const auto& one : completions_) all_armed = one->arm() && all_armed;
  return all_armed;
}

std::size_t Connections::drain(std::size_t limit) {
  std::size_t served = 0;
  for (const auto& one : completions_) {
    for (std::size_t i = 0; i < limit; ++i, ++served) {
      const std::optional<ibv_wc> completion = one->next();
      if (!completion) break;
      serve(*completion);
    }
  }
  return served;
}

void Connections::serve(const ibv_wc& completion) {
  for (const Connection& one : all_) {
    if (one.channel->number() == completion.qp_num) {
      one.channel->serve(completion);
      return;
    }
  }
  log(LogLevel::warning, "verbs",
      device_->name() + " completed something for queue pair " + std::to_string(completion.qp_num) +
          ", which is none of this endpoint's");
}

template <typename Post>
Posted Connections::in_turn(const Post& post) {
  // A target may have been asked for several although it promised its own user order.
  const std::size_t count = device_->capabilities().ordered ? 1 : all_.size();
  for (std::size_t tried = 0; tried < count; ++tried) {
    Channel& channel = *all_[turn_].channel;
    turn_ = (turn_ + 1) % count;
    const Posted posted = post(channel);
    if (posted != Posted::again) return posted;
  }
  return Posted::again;
}

Posted Connections::write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                          std::uint64_t key, std::optional<std::uint32_t> immediate,
                          std::uint64_t context) {
  return in_turn(
      [&](Channel& to) { return to.write(pieces, target_address, key, immediate, context); });
}

Posted Connections::read(const LocalPiece& destination, std::uint64_t source_address,
                         std::uint64_t key, std::uint64_t context) {
  return in_turn(
      [&](Channel& from) { return from.read(destination, source_address, key, context); });
}

}  // namespace grainfabric::transport::verbs
