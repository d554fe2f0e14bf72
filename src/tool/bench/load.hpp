// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "base/event_loop.hpp"
#include "base/histogram.hpp"
#include "memory/region.hpp"
#include "tool/bench/cpu_clock.hpp"
#include "tool/bench/operation.hpp"

namespace grainfabric::tool {

/// What the client is to do in one round.
struct LoadOptions {
  Operation operation = Operation::write;
  std::uint64_t size = 0;
  std::uint64_t depth = 0;
  std::uint64_t iterations = 0;         ///< Messages that count; 0: by time.
  std::chrono::nanoseconds duration{};  ///< Where iterations is 0.
  std::size_t piece_size = 0;
  bool verify = false;
  Polling polling = Polling::event;  ///< How this side waits.
};

/// What came of it on this side. Times in nanoseconds.
struct Measured {
  std::uint64_t messages = 0;
  std::uint64_t verified = 0;  ///< Reads; the rest is verified by the server.
  std::uint64_t nanoseconds = 0;
  std::uint64_t cpu_nanoseconds = 0;
  Histogram latency;  ///< From posting to the acknowledgement, or to the end of the read.
};

/// The client's half of one ROUND: keeps `depth` messages in flight, first a few to warm up, then
/// those that count. Loop thread only.
class Load final : public transport::EndpointEvents {
 public:
  class Events {
   public:
    /// Warm; run() may be called.
    virtual void on_load_warm() = 0;
    /// All messages of run() are there.
    virtual void on_load_finished() = 0;
    /// The data connection failed or brought wrong bytes. Last.
    virtual void on_load_failed(const Error& reason) = 0;

   protected:
    ~Events() = default;
  };

  /// Throws Error, where there is no memory for the round or the transport cannot take it.
  Load(EventLoop& loop, transport::Domain& domain, const LoadOptions& options, Events& events);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// What to ask of the server.
  [[nodiscard]] Round round() const;
  /// Connects to what it answered, and warms up.
  void connect(const Ready& ready);
  void run();
  [[nodiscard]] const Measured& measured() const noexcept { return measured_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Slot {
    std::uint64_t used = 0;  // messages
    Clock::time_point begun;
    bool unacknowledged = false;
    bool uncompleted = false;
    [[nodiscard]] bool busy() const noexcept { return unacknowledged || uncompleted; }
  };
  enum class Phase { idle, warming, running, over };

  void on_connected() override;
  void on_completed(std::uint64_t context) override;
  void on_immediate(std::uint32_t immediate) override;
  void on_message(std::span<const std::byte> message) override;
  void on_closed(const Error& reason) override;

  void enter(Phase phase, std::uint64_t messages);
  [[nodiscard]] bool wants_more() const;
  void begin(std::size_t slot);
  void on_left(std::size_t slot);
  void on_done(std::size_t slot);
  [[nodiscard]] bool is_right(std::size_t slot);
  void leave_phase();
  void look_after();
  void fail(const Error& reason);

  transport::Domain& domain_;
  EventLoop& loop_;
  const LoadOptions options_;
  Events& events_;
  const std::uint64_t seed_;
  std::shared_ptr<Region> memory_;
  std::shared_ptr<Region> word_;  // where acknowledgements land
  std::unique_ptr<transport::Registration> memory_registration_;
  std::unique_ptr<transport::Registration> word_registration_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  std::unique_ptr<Performer> performer_;
  std::vector<Slot> slots_;
  std::deque<std::size_t> sent_;  // slots, in order; an acknowledgement of a send is of the oldest
  std::uint64_t sends_ = 0;
  Phase phase_ = Phase::idle;
  std::uint64_t begun_ = 0;   // messages of this phase
  std::uint64_t wanted_ = 0;  // … at most
  std::uint64_t in_flight_ = 0;
  Measured measured_;
  CpuClock cpu_;
  Clock::time_point phase_begun_;
  Clock::time_point last_progress_;
  EventLoop::Source watch_;
  EventLoop::Source care_;
};

}  // namespace grainfabric::tool
