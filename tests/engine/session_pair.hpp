// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "free_port.hpp"
#include "memory/slot_arena.hpp"
#include "patience.hpp"
#include "session/initiator.hpp"
#include "session/target.hpp"
#include "transport/table.hpp"

/// Both ends of a session in one process, and grains whose content tells which they are.
namespace grainfabric::test {

/// What the engine told its user.
class Heard {
 public:
  std::vector<PeerChange> changes(PeerChange::Kind kind) const {
    const std::lock_guard lock(mutex_);
    std::vector<PeerChange> matching;
    std::copy_if(changes_.begin(), changes_.end(), std::back_inserter(matching),
                 [&](const PeerChange& change) { return change.kind == kind; });
    return matching;
  }
  std::size_t count(PeerChange::Kind kind) const { return changes(kind).size(); }
  bool wait_for(PeerChange::Kind kind, std::size_t times = 1,
                std::chrono::milliseconds limit = kPatience) const {
    return eventually([&] { return count(kind) >= times; }, limit);
  }
  std::vector<Error> failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
  }
  bool wait_for_failure() const {
    return eventually([&] { return !failures().empty(); });
  }
  std::vector<StreamEvent> upstream() const {
    const std::lock_guard lock(mutex_);
    return upstream_;
  }

 protected:
  void note(const PeerChange& change) {
    const std::lock_guard lock(mutex_);
    changes_.push_back(change);
  }
  mutable std::mutex mutex_;
  std::vector<PeerChange> changes_;
  std::vector<Error> failures_;
  std::vector<StreamEvent> upstream_;
};

class InitiatorHeard final : public Heard, public InitiatorEvents {
 public:
  void on_peer(const PeerChange& change) override { note(change); }
  void on_upstream(const StreamEvent& event) override {
    const std::lock_guard lock(mutex_);
    upstream_.push_back(event);
  }
  void on_failed(const Error& error) override {
    const std::lock_guard lock(mutex_);
    failures_.push_back(error);
  }
};

class TargetHeard final : public Heard, public TargetEvents {
 public:
  void on_peer(const PeerChange& change) override { note(change); }
  void on_slices(const SliceProgress& progress) override {
    if (when_slices) when_slices(progress);
  }
  /// On the loop thread; to be set before there is a session.
  std::function<void(const SliceProgress&)> when_slices;
};

/// Bytes that differ from one grain to the next, and from one place to the next.
inline std::vector<std::byte> content(std::uint64_t number, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint64_t state = number * 0x9E3779B97F4A7C15U + 1;
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) state = state * 6364136223846793005U + 1442695040888963407U;
    bytes[i] = static_cast<std::byte>(state >> (8 * (i % 8)));
  }
  return bytes;
}

/// How a grain is cut.
struct Shape {
  std::size_t size = 1000;
  std::size_t metadata = 20;
  std::size_t parts = 1;
  std::size_t slices = 1;
  std::size_t slice_unit = 1;
};

/// An initiator whose grains are numbered in their pts and hold content(number).
class Sender {
 public:
  explicit Sender(InitiatorOptions options, std::shared_ptr<EventLoop> loop = EventLoop::shared())
      : initiator_(std::make_unique<Initiator>(std::move(options), heard, std::move(loop))) {}
  ~Sender() {
    initiator_.reset();
    EXPECT_EQ(released.load(), accepted.load()) << "memory of grains that never came back";
  }
  Sender(const Sender&) = delete;

  Initiator* operator->() { return initiator_.get(); }
  Initiator::PushResult push(Shape shape = {}, Initiator::PushPolicy policy = {}) {
    const std::uint64_t number = pushed + 1;
    auto held = std::make_unique<Held>(Held{content(number, shape.size), this});
    const std::vector<std::byte> metadata = content(number + 1'000'000, shape.metadata);
    std::vector<PayloadPart> parts;
    const std::size_t each = shape.size / shape.parts;
    for (std::size_t i = 0; i < shape.parts; ++i) {
      const std::size_t size = i + 1 == shape.parts ? shape.size - each * i : each;
      parts.push_back({std::span(held->payload).subspan(each * i, size), nullptr});
    }
    OutgoingGrain grain;
    grain.info.pts = number;
    grain.info.dts = number + 1;
    grain.info.duration = 3;
    grain.info.offset = 4;
    grain.info.offset_end = kNone;
    grain.info.tai = 5;
    grain.info.flags = static_cast<std::uint32_t>(number * 7);
    grain.metadata = metadata;
    grain.payload = parts;
    grain.release = {release, held.get()};
    grain.slices = shape.slices;
    grain.slice_unit = shape.slice_unit;
    const auto result = initiator_->push(grain, policy);
    if (result == Initiator::PushResult::accepted) {
      static_cast<void>(held.release());  // release() deletes it
      ++accepted;
      pushed = number;
    } else if (result == Initiator::PushResult::dropped) {
      pushed = number;
    }
    return result;
  }
  bool push_many(int count, Shape shape = {}) {
    for (int i = 0; i < count; ++i) {
      if (push(shape) != Initiator::PushResult::accepted) return false;
    }
    return true;
  }
  void push_event(const std::string& name, bool sticky = false) {
    EXPECT_EQ(initiator_->push_event({name, sticky, content(name.size(), 10)}, {}),
              Initiator::PushResult::accepted);
  }
  void end() { initiator_.reset(); }

  InitiatorHeard heard;
  std::atomic<std::uint64_t> pushed{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> released{0};

 private:
  struct Held {
    std::vector<std::byte> payload;
    Sender* sender;
  };
  static void release(void* owner) {
    const std::unique_ptr<Held> held(static_cast<Held*>(owner));
    ++held->sender->released;
  }

  std::unique_ptr<Initiator> initiator_;
};

/// Pushes grains from a thread of its own until it is told to stop. A test that gives up earlier
/// breaks its waiting.
class Pushing {
 public:
  /// After a grain that was dropped, for want of a peer, it pauses for at least a millisecond.
  Pushing(Sender& sender, Shape shape, Initiator::PushPolicy policy = {},
          std::chrono::microseconds pause = {})
      : sender_(sender), thread_([this, shape, policy, pause] {
          while (!stop_) {
            const auto result = sender_.push(shape, policy);
            const bool dropped = result == Initiator::PushResult::dropped;
            EXPECT_TRUE(dropped || given_up_ || result == Initiator::PushResult::accepted);
            std::this_thread::sleep_for(dropped ? std::max(pause, kWithoutPeer) : pause);
          }
        }) {}
  ~Pushing() {
    if (!thread_.joinable()) return;
    given_up_ = true;
    sender_->set_flushing(true);
    stop();
  }
  Pushing(const Pushing&) = delete;
  /// The last grain may wait for what is done in `meanwhile`, again and again.
  void stop(const std::function<void()>& meanwhile) {
    stop_ = true;
    std::atomic<bool> stopped{false};
    std::thread joiner([&] {
      thread_.join();
      stopped = true;
    });
    while (!stopped) meanwhile();
    joiner.join();
  }
  void stop() {
    stop_ = true;
    thread_.join();
  }

 private:
  static constexpr std::chrono::microseconds kWithoutPeer{1000};
  Sender& sender_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> given_up_{false};
  std::thread thread_;
};

/// For tests that are not about providers.
inline std::string plain_provider() {
  const auto here = transport::Table::shared().providers();
  return std::find(here.begin(), here.end(), "tcp") != here.end() ? "tcp" : "udp";
}

/// A target on this host only, at a free port unless told otherwise.
inline TargetOptions local(std::uint16_t port = 0) {
  TargetOptions options;
  options.address = "127.0.0.1";
  options.port = port;
  return options;
}

/// A target with what it said.
class Receiver {
 public:
  explicit Receiver(TargetOptions options = local(),
                    std::shared_ptr<EventLoop> loop = EventLoop::shared())
      : target_(std::make_unique<Target>(std::move(options), heard, std::move(loop))) {
    target_->start();
  }
  Target* operator->() { return target_.get(); }
  void end() { target_.reset(); }

  /// The next grain or event within kPatience.
  std::optional<Incoming> pop(std::chrono::milliseconds limit = kPatience) {
    return target_->pop(limit);
  }
  std::optional<IncomingGrain> pop_grain(std::chrono::milliseconds limit = kPatience) {
    auto incoming = pop(limit);
    auto* grain = incoming ? std::get_if<IncomingGrain>(&*incoming) : nullptr;
    return grain ? std::optional(std::move(*grain)) : std::nullopt;
  }
  /// The name of the next item, which is to be an event.
  std::string pop_event() {
    auto incoming = pop();
    auto* event = incoming ? std::get_if<StreamEvent>(&*incoming) : nullptr;
    return event ? event->name : incoming ? "(a grain)" : "(nothing)";
  }

  TargetHeard heard;

 private:
  std::unique_ptr<Target> target_;
};

/// That the grain is whole and the one its pts says.
inline testing::AssertionResult is_whole(const IncomingGrain& grain) {
  const std::uint64_t number = grain.info.pts;
  const auto payload = content(number, grain.payload.size());
  const auto metadata = content(number + 1'000'000, grain.metadata.size());
  if (!std::equal(payload.begin(), payload.end(), grain.payload.begin())) {
    return testing::AssertionFailure() << "the payload of grain " << number << " is torn";
  }
  if (!std::equal(metadata.begin(), metadata.end(), grain.metadata.begin())) {
    return testing::AssertionFailure() << "the metadata of grain " << number << " is torn";
  }
  const GrainInfo& info = grain.info;
  if (info.dts != number + 1 || info.duration != 3 || info.offset != 4 ||
      info.offset_end != kNone || info.tai != 5 ||
      info.flags != static_cast<std::uint32_t>(number * 7) || info.sent_tai == kNone) {
    return testing::AssertionFailure() << "the times or flags of grain " << number << " are wrong";
  }
  return testing::AssertionSuccess();
}

/// The next grain is this one, whole.
inline testing::AssertionResult next_is(Receiver& receiver, std::uint64_t number,
                                        std::size_t size = 1000) {
  const auto grain = receiver.pop_grain();
  if (!grain) return testing::AssertionFailure() << "grain " << number << " does not come";
  if (grain->info.pts != number || grain->payload.size() != size) {
    return testing::AssertionFailure() << "grain " << grain->info.pts << " of "
                                       << grain->payload.size() << " bytes comes, not " << number;
  }
  return is_whole(*grain);
}

inline InitiatorOptions to(std::uint16_t port, const std::string& provider = plain_provider()) {
  InitiatorOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.provider = provider;
  options.slots = 4;
  return options;
}
inline InitiatorOptions to(Receiver& receiver, const std::string& provider = plain_provider()) {
  return to(receiver->port(), provider);
}
inline TargetOptions with_provider(const std::string& provider, std::uint16_t port = 0) {
  TargetOptions options = local(port);
  options.provider = provider;
  return options;
}

/// A grain in a Region, as a buffer pool has it.
struct Lent {
  std::shared_ptr<Region> region = Region::create(3 * kPageSize, "lent");
  std::atomic<int> released{0};

  Initiator::PushResult push(Sender& sender, std::size_t offset, std::size_t size) {
    const PayloadPart part{region->bytes().subspan(offset, size), region};
    OutgoingGrain grain;
    grain.payload = {&part, 1};
    grain.release = {[](void* self) { ++static_cast<Lent*>(self)->released; }, this};
    return sender->push(grain, {});
  }
};

/// Tests that hold for every provider of this host.
class OverProviders : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto there = transport::Table::shared().providers();
    if (std::find(there.begin(), there.end(), GetParam()) == there.end()) {
      GTEST_SKIP() << GetParam() << " is not available on this host";
    }
  }
};
/// … and need no more than one pair of ends, the sender started.
class PairOverProviders : public OverProviders {
 protected:
  void SetUp() override {
    OverProviders::SetUp();
    if (IsSkipped()) return;
    receiver_ = std::make_unique<Receiver>(with_provider(GetParam()));
    sender_ = std::make_unique<Sender>(to(*receiver_, GetParam()));
    (*sender_)->start();
  }
  [[nodiscard]] static bool is_local() { return std::string(GetParam()) == "local"; }

  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<Sender> sender_;
};
inline std::string provider_name(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), ';', '_');
  return name;
}

}  // namespace grainfabric::test

#define OVER_PROVIDERS(suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(Over, suite,                                                  \
                           testing::Values("tcp", "tcp;ofi_rxm", "shm", "udp", "local"), \
                           grainfabric::test::provider_name)
