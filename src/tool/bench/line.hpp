// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "message/channel.hpp"
#include "tool/bench/messages.hpp"

namespace grainfabric::tool {

/// What a Line tells its owner, on the loop thread. The owner must not destroy it in there.
class LineEvents {
 public:
  /// Any message but HEARTBEAT and REFUSE. An Error thrown from here ends the line with it, and the
  /// peer is told.
  virtual void on_line_message(Type type, GVariant* fields) = 0;
  /// Called once, last, and not after close().
  virtual void on_line_ended(const Error& reason) = 0;

 protected:
  ~LineEvents() = default;
};

/// One side of the conversation of messages.hpp: a control channel with a heartbeat, on which
/// silence and REFUSE are an end like any other. Loop thread only.
class Line final : public ChannelEvents {
 public:
  Line(EventLoop& loop, GObjectPtr<GSocketConnection> connection, LineEvents& events);

  template <typename Message>
  void send(const Message& message) {
    channel_.send(static_cast<std::uint16_t>(Message::kType), message.encode());
  }
  /// Says why to the peer, and closes.
  void refuse(const Error& reason);
  void close();

  [[nodiscard]] const std::string& peer() const noexcept { return channel_.peer(); }
  [[nodiscard]] const std::string& local_address() const noexcept {
    return channel_.local_address();
  }

 private:
  void on_message(std::uint16_t type, GVariant* fields) override;
  void on_channel_closed(const Error& reason) override;
  void beat();

  LineEvents& events_;
  Channel channel_;
  std::chrono::steady_clock::time_point heard_ = std::chrono::steady_clock::now();
  EventLoop::Source heartbeat_;
};

}  // namespace grainfabric::tool
