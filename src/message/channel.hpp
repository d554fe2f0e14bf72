// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "base/export.hpp"
#include "base/glib_ptr.hpp"
#include "message/frame.hpp"

namespace grainfabric {

/// What a Channel tells its owner, on the loop thread. The owner must not destroy the channel in
/// there, but may post its destruction.
class ChannelEvents {
 public:
  /// A message of any type, known or not. `fields` is an a{sv} in normal form, in the host's byte
  /// order; borrowed. An Error thrown from here closes the channel with it.
  virtual void on_message(std::uint16_t type, GVariant* fields) = 0;
  /// No more messages either way: the peer closed or broke the protocol, or the network failed.
  /// Called once at most, last, and not after close().
  virtual void on_channel_closed(const Error& reason) = 0;

 protected:
  ~ChannelEvents() = default;
};

/// The control channel: messages in frames over one stream connection. Loop thread only.
/// Works over any GIOStream whose streams are pollable: TCP now, Unix sockets and TLS alike.
class GRAINFABRIC_API Channel {
 public:
  Channel(EventLoop& loop, GObjectPtr<GSocketConnection> connection, ChannelEvents& events);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Queues a message; it goes out as the socket takes it.
  void send(std::uint16_t type, const GlibPtr<GVariant>& fields);
  /// Bodies longer than this close the channel; kMaxBodyBeforeHello to begin with.
  void set_max_body(std::uint32_t bytes) noexcept { max_body_ = bytes; }
  /// Takes what has come by now, which may close the channel. Does nothing inside its own events.
  void read_now();
  /// Sends what is queued as far as the socket takes it at once, and closes. No event follows.
  void close();

  /// "192.0.2.7:41234" or "[::1]:41234".
  [[nodiscard]] const std::string& peer() const noexcept { return peer_; }
  /// Numeric addresses without port; IPv4 in its own form even on a dual-stack socket.
  [[nodiscard]] const std::string& local_address() const noexcept { return local_address_; }
  [[nodiscard]] const std::string& peer_address() const noexcept { return peer_address_; }

 private:
  void parse();
  void write_some();
  void drop_queue();
  void fail(const Error& reason);

  static gboolean on_readable(GObject* stream, gpointer self);
  static gboolean on_writable(GObject* stream, gpointer self);

  EventLoop& loop_;
  GObjectPtr<GSocketConnection> connection_;
  ChannelEvents& events_;
  GPollableInputStream* input_;    // of connection_
  GPollableOutputStream* output_;  // of connection_
  GlibPtr<GSource> readable_;
  GlibPtr<GSource> writable_;  // only while output waits
  std::string peer_;
  std::string peer_address_;
  std::string local_address_;
  std::uint32_t max_body_ = kMaxBodyBeforeHello;
  std::vector<std::byte> received_;
  std::deque<std::vector<std::byte>> to_send_;
  std::size_t sent_of_front_ = 0;
  std::size_t queued_bytes_ = 0;
  bool reading_ = false;
  bool closed_ = false;
};

}  // namespace grainfabric
