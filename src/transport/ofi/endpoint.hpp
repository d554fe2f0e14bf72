// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "transport/ofi/channel.hpp"
#include "transport/ofi/device.hpp"
#include "transport/ofi/timer.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport::ofi {

/// What connected and connectionless endpoints have in common: one life from connecting to closed,
/// the user's posts handed to a Channel, its events to the user. One thread.
///
/// A failure is only noted where it is found, since that may be deep inside a drain or one of the
/// user's own posts; progress() closes at its end and says so once.
class OfiEndpoint : public Endpoint, protected ChannelEvents {
 public:
  [[nodiscard]] const Address& address() const noexcept override { return address_; }
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context) override;
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::uint32_t immediate) override;
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context) override;
  Posted send(std::span<const std::byte> message, std::uint64_t context) override;

  void append_fds(std::vector<int>* fds) const override;
  bool arm() override;
  bool progress() override;

 protected:
  enum class State { connecting, connected, closed };

  OfiEndpoint(std::shared_ptr<const Device> device, EndpointEvents& user);

  /// Drives the connection: called by each progress() until the endpoint is closed; calls
  /// established() or fail(). Returns whether it did anything. May throw Error, which fails it.
  virtual bool drive() = 0;
  /// Closes what has been opened: the peer learns of it.
  virtual void close() noexcept = 0;
  /// The channel that moves data; null where there is none yet.
  [[nodiscard]] virtual Channel* channel() const noexcept = 0;
  /// Descriptors and libfabric objects to wait for now; only where Device::sleeps().
  virtual void add_waitables(std::vector<int>* fds, std::vector<fid_t>* objects) const = 0;
  /// How a user's write goes out; `immediate` may be none in the first.
  virtual Posted post_write(Channel& channel, std::span<const LocalPiece> pieces,
                            std::uint64_t target_address, std::uint64_t key,
                            std::optional<std::uint32_t> immediate, std::uint64_t context);
  virtual Posted post_inject(Channel& channel, std::span<const std::byte> data,
                             std::uint64_t target_address, std::uint64_t key,
                             std::uint32_t immediate);
  /// How a user's message goes out.
  virtual Posted send_message(Channel& channel, std::span<const std::byte> message,
                              std::uint64_t context) = 0;

  void established();
  /// The first reason counts.
  void fail(const Error& reason);
  /// Closed with timed_out unless established within kConnectTimeout from now.
  void start_deadline();
  /// Wakes progress() in a moment although no descriptor will.
  void retry_soon();
  void deliver(std::span<const std::byte> message) { user_.on_message(message); }

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_failing() const noexcept { return failure_.has_value(); }
  [[nodiscard]] const Device& device() const noexcept { return *device_; }
  [[nodiscard]] const std::shared_ptr<const Device>& shared_device() const noexcept {
    return device_;
  }
  [[nodiscard]] const std::string& peer_name() const noexcept { return peer_name_; }
  void set_peer_name(const std::string& peer);
  void set_address(Address address) { address_ = std::move(address); }

  void channel_completed(std::uint64_t user) override;
  void channel_immediate(std::uint32_t immediate) override;
  void channel_failed(const Error& reason) override { fail(reason); }

 private:
  /// The channel to post to, or why not.
  Channel* writable(Posted* why_not) const noexcept;
  void finish();

  std::shared_ptr<const Device> device_;
  EndpointEvents& user_;
  State state_ = State::connecting;
  Address address_;
  std::string peer_name_ = "its peer";
  std::optional<Error> failure_;
  Timer timer_;
  std::optional<Timer::Clock::time_point> deadline_;
  std::optional<Timer::Clock::time_point> retry_;
  std::vector<int> fds_;                // used again, …
  mutable std::vector<fid_t> objects_;  // … so that sleeping does not allocate
  bool in_progress_ = false;
};

}  // namespace grainfabric::transport::ofi
