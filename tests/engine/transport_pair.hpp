// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "patience.hpp"
#include "transport/table.hpp"

/// Both ends of a transport in one process, driven by the test's own thread.
namespace grainfabric::transport {

using namespace std::chrono_literals;
using TestClock = std::chrono::steady_clock;
/// Of what should take no time at all.
inline const std::chrono::milliseconds kLimit = 3s * test::kSlowdown * test::host_slowdown();

/// Everything an endpoint says, in order.
class Recorder final : public EndpointEvents {
 public:
  int connected = 0;
  std::vector<std::uint64_t> completed;
  std::vector<std::uint32_t> immediates;
  std::vector<std::string> messages;
  std::vector<Error> closed;
  int after_close = 0;  ///< Events that came although on_closed() is the last.
  std::function<void()> when_connected;
  std::function<void(std::uint32_t)> when_immediate;

  void on_connected() override {
    note();
    ++connected;
    if (when_connected) when_connected();
  }
  void on_completed(std::uint64_t context) override {
    note();
    completed.push_back(context);
  }
  void on_immediate(std::uint32_t immediate) override {
    note();
    immediates.push_back(immediate);
    if (when_immediate) when_immediate(immediate);
  }
  void on_message(std::span<const std::byte> message) override {
    note();
    messages.emplace_back(reinterpret_cast<const char*>(message.data()), message.size());
  }
  void on_closed(const Error& reason) override {
    note();
    closed.push_back(reason);
  }

 private:
  void note() { after_close += closed.empty() ? 0 : 1; }
};

/// What the engine's loop does, for a few endpoints and in view: arms, sleeps, makes progress.
class PollLoop {
 public:
  void add(Pollable& pollable) { all_.push_back(&pollable); }
  void remove(Pollable& pollable) { std::erase(all_, &pollable); }

  /// Until `done`, at most `limit`. Returns whether it was done.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = kLimit) {
    const auto deadline = TestClock::now() + limit;
    while (!done()) {
      if (TestClock::now() >= deadline) return false;
      turn(deadline);
    }
    return true;
  }
  void run_for(std::chrono::milliseconds time) {
    run_until([] { return false; }, time);
  }
  [[nodiscard]] int sleeps() const noexcept { return sleeps_; }

 private:
  void turn(TestClock::time_point deadline) {
    bool pending = false;
    bool unpollable = false;
    std::vector<pollfd> polled;
    for (Pollable* one : all_) {
      std::vector<int> fds;
      one->append_fds(&fds);
      unpollable = unpollable || fds.empty();
      if (!one->arm()) pending = true;
      for (const int fd : fds) polled.push_back({fd, POLLIN, 0});
    }
    if (unpollable) {
      ::sched_yield();
    } else if (!pending) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - TestClock::now());
      ::poll(polled.data(), polled.size(), static_cast<int>(std::max<long>(left.count(), 0)));
      ++sleeps_;
    }
    for (Pollable* one : all_) one->progress();
  }

  std::vector<Pollable*> all_;
  int sleeps_ = 0;
};

/// Memory with its registration.
struct Registered {
  std::vector<std::byte> bytes;
  std::unique_ptr<Registration> registration;

  Registered(Domain& domain, std::size_t size, Access access)
      : bytes(size), registration(domain.register_memory(bytes, access)) {}

  void fill(unsigned seed) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>((i * 131 + i / 251 + seed) & 0xff);
    }
  }
  [[nodiscard]] LocalPiece piece(std::size_t offset, std::size_t size) const {
    return {bytes.data() + offset, size, registration.get()};
  }
  [[nodiscard]] RemoteMemory remote() const { return registration->remote(); }
};

inline std::span<const std::byte> as_message(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A target that accepts and an initiator that connects, each with a Domain of its own.
struct Pair {
  std::unique_ptr<Domain> target_domain;
  std::unique_ptr<Domain> initiator_domain;
  Recorder target_events;
  Recorder initiator_events;
  Token token = Token::random();
  std::unique_ptr<Endpoint> target;
  std::unique_ptr<Endpoint> initiator;
  PollLoop loop;

  explicit Pair(const DomainOptions& options)
      : target_domain(Table::shared().open(options)),
        initiator_domain(Table::shared().open(from_other_end(options))) {}

  /// With the initiator at FABRIC_TEST_INTERFACE, where that is set: across a wire.
  static DomainOptions from_other_end(DomainOptions options) {
    const char* address = std::getenv("FABRIC_TEST_INTERFACE");
    if (address != nullptr && !options.local_address.empty()) options.local_address = address;
    return options;
  }

  void listen() {
    target = target_domain->accept(token, target_events);
    loop.add(*target);
  }
  void dial() {
    initiator = initiator_domain->connect(target->address(), token, initiator_events);
    loop.add(*initiator);
  }
  /// Whether both ends say so within the time.
  bool connect() {
    listen();
    dial();
    return loop.run_until(
        [&] { return initiator_events.connected == 1 && target_events.connected == 1; });
  }
  /// Posts until it is accepted or can never be.
  Posted insist(const std::function<Posted()>& post) {
    Posted posted = post();
    const auto deadline = TestClock::now() + kLimit;
    while (posted == Posted::again && TestClock::now() < deadline) {
      loop.run_until([] { return false; }, 1ms);
      posted = post();
    }
    return posted;
  }
  void drop_target() {
    loop.remove(*target);
    target.reset();
  }
  void drop_initiator() {
    loop.remove(*initiator);
    initiator.reset();
  }
};

}  // namespace grainfabric::transport
