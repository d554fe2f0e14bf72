// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.hpp"
#include "message/channel.hpp"
#include "session/inbox.hpp"
#include "session/incoming_lane.hpp"
#include "session/protocol.hpp"
#include "session/target.hpp"

namespace grainfabric {

/// One control connection at the target, from its accept to its end. On the loop thread, and as far
/// as grains go in turns of the loop.
class TargetLink final : public std::enable_shared_from_this<TargetLink>,
                         public ChannelEvents,
                         public IncomingLane::Events {
 public:
  /// What the target decides about a link, and hears of it.
  class Owner {
   public:
    /// May the peer in? Returns the first sequence to expect and the transport to use in
    /// `welcome`; throws Error to refuse.
    virtual std::unique_ptr<transport::Domain> admit(TargetLink& link, const protocol::Hello& hello,
                                                     protocol::Welcome& welcome) = 0;
    /// The link is of no more use; it is finished already. `orderly`: the initiator said BYE.
    virtual void on_link_ended(TargetLink& link, const Error& reason, bool orderly) = 0;
    /// Something was refused while the session goes on or before it began.
    virtual void on_refused(TargetLink& link, const Error& reason) = 0;
    /// As TargetEvents.
    virtual void on_slices(const SliceProgress& progress) = 0;

   protected:
    ~Owner() = default;
  };

  TargetLink(EventLoop& loop, GObjectPtr<GSocketConnection> connection,
             const TargetOptions& options, Inbox& inbox, Owner& owner);
  ~TargetLink();

  /// Turns the peer away and says why; Owner::on_refused() follows.
  void refuse(const Error& reason);
  /// Closes everything; says BYE first if a session is on. No callback follows.
  void finish(const std::string& farewell);

  [[nodiscard]] const std::string& peer() const noexcept { return channel_->peer(); }
  [[nodiscard]] const std::string& local_address() const noexcept {
    return channel_->local_address();
  }
  [[nodiscard]] bool welcomed() const noexcept { return domain_ != nullptr; }
  [[nodiscard]] const Token& stream() const noexcept { return stream_; }
  /// The next grain to deliver.
  [[nodiscard]] std::uint64_t expected() const noexcept { return expected_; }

  void send_upstream(const StreamEvent& event);
  void send_status();

 private:
  void on_message(std::uint16_t type, GVariant* fields) override;
  void on_channel_closed(const Error& reason) override;
  void on_hello(const protocol::Hello& hello);
  void on_config(const protocol::Config& config);
  void on_event(protocol::Event event);
  void on_lane_connected(IncomingLane& lane) override;
  void on_slices(IncomingLane& lane, const IncomingLane::Landed& begun,
                 std::uint32_t valid) override;
  void on_landed(IncomingLane& lane, std::uint16_t slot) override;
  void on_lane_closed(IncomingLane& lane, const Error& reason) override;
  void on_heartbeat();

  void deliver();
  void deliver_grain(IncomingGrain grain);
  void report_begun();
  void report(const SliceProgress& progress);
  void end(const Error& reason, bool orderly);
  void retire_before(std::uint64_t epoch);
  void return_credits(std::uint64_t epoch);
  void note_credits();

  EventLoop& loop_;
  const TargetOptions& options_;
  Inbox& inbox_;
  Owner& owner_;
  std::unique_ptr<Channel> channel_;
  EventLoop::Source hello_deadline_;
  EventLoop::Source heartbeat_;
  std::chrono::steady_clock::time_point last_heard_;

  Token stream_;
  std::unique_ptr<transport::Domain> domain_;
  std::vector<std::unique_ptr<IncomingLane>> lanes_;  // by epoch; the last is the newest
  std::vector<IncomingLane::Landed> landed_;          // by sequence, the next in front
  /// The newest slices that wait until all before their grain is delivered.
  struct Begun {
    SliceProgress progress;
    std::uint64_t events_before;
  };
  std::optional<Begun> begun_;
  std::deque<protocol::Event> events_;
  std::uint64_t expected_ = 1;
  std::uint64_t events_received_ = 0;
  std::uint64_t events_delivered_ = 0;
  std::uint64_t last_before_bye_ = kNone;
  std::uint64_t attended_epoch_ = 0;  // of the lane that the streaming thread serves
  bool first_grain_ = true;
  bool ending_ = false;
  bool finished_ = false;
};

}  // namespace grainfabric
