// SPDX-License-Identifier: Apache-2.0
#include "session/lingering.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <utility>

namespace grainfabric {
namespace {

/// Packets taken before others have their turn.
constexpr int kBatch = 256;

/// Owns itself until the lifeline is hung up.
class Lingering final : public Pollable {
 public:
  Lingering(EventLoop& loop, UniqueFd lifeline, std::vector<LentGrain> grains)
      : loop_(loop.shared_from_this()),
        lifeline_(std::move(lifeline)),
        grains_(std::move(grains)) {}

  static void begin(const std::shared_ptr<Lingering>& self) {
    self->self_ = self;
    self->watch_ = self->loop_->watch(*self, Polling::event);
  }

  void append_fds(std::vector<int>* fds) const override { fds->push_back(lifeline_.get()); }
  bool arm() override { return self_ == nullptr || !is_hung_up(); }
  bool progress() override {
    if (!self_) return false;
    // What an endpoint that is going had still sent; nobody reads it any more. One that goes on
    // sending is not to keep the loop: the lifeline stays readable.
    std::array<std::byte, 64> rest;
    for (int i = 0; i < kBatch; ++i) {
      if (::recv(lifeline_.get(), rest.data(), rest.size(), MSG_DONTWAIT) <= 0) break;
    }
    if (!is_hung_up()) return false;
    for (const LentGrain& grain : grains_) grain.release();
    grains_.clear();
    // Not in the middle of a call of its own watch.
    loop_->post([self = std::exchange(self_, nullptr)] { self->watch_.reset(); });
    return true;
  }

 private:
  [[nodiscard]] bool is_hung_up() const {
    pollfd polled{lifeline_.get(), 0, 0};
    return ::poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  }

  const std::shared_ptr<EventLoop> loop_;
  const UniqueFd lifeline_;
  std::vector<LentGrain> grains_;
  EventLoop::Source watch_;
  std::shared_ptr<Lingering> self_;
};

}  // namespace

void release_when_hung_up(EventLoop& loop, UniqueFd lifeline, std::vector<LentGrain> grains) {
  if (grains.empty()) return;
  if (!lifeline) {
    for (const LentGrain& grain : grains) grain.release();
    return;
  }
  Lingering::begin(std::make_shared<Lingering>(loop, std::move(lifeline), std::move(grains)));
}

}  // namespace grainfabric
