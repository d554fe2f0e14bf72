// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "memory/region.hpp"
#include "tool/bench/cpu_clock.hpp"
#include "tool/bench/messages.hpp"
#include "transport/transport.hpp"

namespace grainfabric::tool {

/// The server's half of one ROUND: memory to write to and read from, and an endpoint that
/// acknowledges each message. Loop thread only.
class Responder final : public transport::EndpointEvents {
 public:
  class Events {
   public:
    /// The data connection failed, or the client broke the rules, or bytes were wrong. Last.
    virtual void on_responder_failed(const Error& reason) = 0;

   protected:
    ~Events() = default;
  };

  /// Throws Error, where there is no memory for the round or the transport cannot take it.
  Responder(EventLoop& loop, transport::Domain& domain, const Round& round, Polling polling,
            Events& events);
  ~Responder();
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  [[nodiscard]] Ready ready() const;
  /// From here on CPU time counts.
  void start() { cpu_ = CpuClock(); }
  [[nodiscard]] Result result() const;

 private:
  struct Slot {
    std::uint64_t landed = 0;     // messages
    std::uint64_t announced = 0;  // immediates of the present one
  };

  void on_connected() override {}
  void on_completed(std::uint64_t) override {}
  void on_immediate(std::uint32_t immediate) override;
  void on_message(std::span<const std::byte> message) override;
  void on_closed(const Error& reason) override;

  [[nodiscard]] std::span<std::byte> bytes_of(std::size_t slot) const;
  void take(std::size_t slot, std::span<const std::byte> bytes);
  void acknowledge();
  void fail(const Error& reason);

  EventLoop& loop_;
  const Round round_;
  Events& events_;
  const Token token_ = Token::random();
  std::shared_ptr<Region> memory_;
  std::unique_ptr<transport::Registration> registration_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  std::vector<Slot> slots_;
  std::deque<std::uint16_t> owed_;  // acknowledgements
  std::uint64_t messages_ = 0;
  std::uint64_t verified_ = 0;
  CpuClock cpu_;
  bool failed_ = false;
  EventLoop::Source watch_;
  EventLoop::Source retry_;
};

}  // namespace grainfabric::tool
