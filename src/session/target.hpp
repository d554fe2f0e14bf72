// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "base/export.hpp"
#include "session/incoming.hpp"
#include "session/slice_progress.hpp"
#include "session/stats.hpp"
#include "session/terms.hpp"
#include "transport/options.hpp"

namespace grainfabric {

struct TargetOptions {
  std::string address;  ///< Name or numeric address to listen on; empty: all, IPv6 and IPv4.
  std::uint16_t port = protocol::kDefaultPort;  ///< 0: any free one, see Target::port().
  std::string provider = "auto";                ///< See transport::offers().
  std::string interface;  ///< Interface or address for the data; empty: the control connection's.
  std::size_t slots = 0;  ///< Length of the ring; 0: what the initiator asks for.
  /// For the providers that have any (src/README.md); the rest is as configured on this host.
  transport::ProviderOptions transport_options;
  Polling polling = Polling::event;
  bool report_slices = false;  ///< TargetEvents::on_slices() is wanted.
  Pages pages = Pages::any;    ///< Of the rings.
};

/// What a target tells its user, on the loop thread, with no lock held.
class TargetEvents {
 public:
  virtual void on_peer(const PeerChange& change) = 0;
  /// More of a grain has landed; with TargetOptions::report_slices. In the order of the stream:
  /// what comes before the grain is queued for pop() already. Counts only go up, and may skip some;
  /// the last one is the total, also of a grain that is not cut, and pop() gives the grain next.
  /// One whose session ends before that never comes (on_peer() says so): the next is another, with
  /// `discont`. Not while flushing. Return soon: nothing moves meanwhile.
  virtual void on_slices(const SliceProgress& /*progress*/) {}

 protected:
  ~TargetEvents() = default;
};

/// The receiving end of a grain stream: listens, serves one initiator at a time, owns the ring that
/// the initiator writes into, and hands out grains and events in the order of the stream.
/// pop() belongs to one thread, the streaming thread; all else to any.
class GRAINFABRIC_API Target {
 public:
  /// `events` is borrowed for the target's life.
  /// Throws Error(invalid_argument, unknown_provider, unknown_interface) for options that never
  /// work.
  Target(TargetOptions options, TargetEvents& events,
         std::shared_ptr<EventLoop> loop = EventLoop::shared());
  /// Says BYE to the initiator and stops listening. Slots still held stay valid.
  ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  /// Begins to listen. Blocks as long as a name server takes if `address` is a name.
  /// Throws Error(address_in_use, unresolvable, unknown_interface, permission).
  void start();
  /// The port in use; 0 before start().
  [[nodiscard]] std::uint16_t port() const noexcept;

  /// The next grain or event; nothing when `timeout` runs out or set_flushing(true).
  std::optional<Incoming> pop(std::chrono::milliseconds timeout);
  /// True breaks every wait, drops what waits in the queue and what comes, until false; but not
  /// sticky events, which nobody sends again.
  void set_flushing(bool flushing);
  /// Sends an event to the initiator's pipeline; without a session it is gone.
  void send_upstream(StreamEvent event);

  [[nodiscard]] Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace grainfabric
