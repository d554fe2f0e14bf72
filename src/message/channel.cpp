// SPDX-License-Identifier: Apache-2.0
#include "message/channel.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace grainfabric {
namespace {

constexpr std::size_t kReadSize = 64U << 10U;
/// Reads of one wake-up, so that one talkative peer cannot keep the loop from the others.
constexpr int kReadsAtOnce = 16;
/// A peer that leaves this much unread has stopped reading.
constexpr std::size_t kMaxQueuedBytes = 32U << 20U;

/// The numeric address, with an IPv4 address mapped into IPv6 (a dual-stack listener's) unmapped.
std::string numeric(GSocketAddress* address, guint16* port) {
  if (address == nullptr || !G_IS_INET_SOCKET_ADDRESS(address)) return {};
  auto* inet = G_INET_SOCKET_ADDRESS(address);
  if (port != nullptr) *port = g_inet_socket_address_get_port(inet);
  const GlibPtr<char> text(g_inet_address_to_string(g_inet_socket_address_get_address(inet)));
  constexpr char kMapped[] = "::ffff:";
  std::string result = text.get();
  if (result.rfind(kMapped, 0) == 0 && result.find('.') != std::string::npos) {
    return result.substr(sizeof kMapped - 1);
  }
  if (g_socket_address_get_family(address) == G_SOCKET_FAMILY_IPV6) {
    const guint32 scope = g_inet_socket_address_get_scope_id(inet);
    if (scope != 0) result += "%" + std::to_string(scope);
  }
  return result;
}

}  // namespace

Channel::Channel(EventLoop& loop, GObjectPtr<GSocketConnection> connection, ChannelEvents& events)
    : loop_(loop),
      connection_(std::move(connection)),
      events_(events),
      input_(G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(G_IO_STREAM(connection_.get())))),
      output_(
          G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(G_IO_STREAM(connection_.get())))) {
  const GObjectPtr<GSocketAddress> remote(
      g_socket_connection_get_remote_address(connection_.get(), nullptr));
  const GObjectPtr<GSocketAddress> local(
      g_socket_connection_get_local_address(connection_.get(), nullptr));
  guint16 port = 0;
  peer_address_ = numeric(remote.get(), &port);
  local_address_ = numeric(local.get(), nullptr);
  const bool v6 = peer_address_.find(':') != std::string::npos;
  peer_ = (v6 ? "[" + peer_address_ + "]" : peer_address_) + ":" + std::to_string(port);

  GSocket* socket = g_socket_connection_get_socket(connection_.get());
  // Credits travel beside this channel, but events between grains should not wait for Nagle.
  g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, nullptr);

  readable_.reset(g_pollable_input_stream_create_source(input_, nullptr));
  g_source_set_callback(readable_.get(), G_SOURCE_FUNC(on_readable), this, nullptr);
  g_source_attach(readable_.get(), loop_.context());
}

Channel::~Channel() {
  close();
}

void Channel::close() {
  if (closed_) return;
  write_some();
  closed_ = true;
  readable_.reset();
  writable_.reset();
  // A socket closed with input unread sends a reset, which may overtake what we said last.
  GSocket* socket = g_socket_connection_get_socket(connection_.get());
  g_socket_shutdown(socket, FALSE, TRUE, nullptr);
  char rest[4096];
  for (int i = 0; i < kReadsAtOnce; ++i) {
    if (g_pollable_input_stream_read_nonblocking(input_, rest, sizeof rest, nullptr, nullptr) <=
        0) {
      break;
    }
  }
  g_io_stream_close(G_IO_STREAM(connection_.get()), nullptr, nullptr);
}

void Channel::fail(const Error& reason) {
  if (closed_) return;
  close();
  events_.on_channel_closed(reason);
}

gboolean Channel::on_readable(GObject*, gpointer self) {
  static_cast<Channel*>(self)->read_now();
  return G_SOURCE_CONTINUE;
}

gboolean Channel::on_writable(GObject*, gpointer self) {
  auto* channel = static_cast<Channel*>(self);
  channel->writable_.reset();
  channel->write_some();
  return G_SOURCE_REMOVE;
}

void Channel::read_now() {
  if (std::exchange(reading_, true)) return;
  for (int i = 0; i < kReadsAtOnce && !closed_; ++i) {
    std::array<std::byte, kReadSize> chunk;
    GErrorSlot error;
    const gssize got = g_pollable_input_stream_read_nonblocking(input_, chunk.data(), chunk.size(),
                                                                nullptr, error.out());
    if (got > 0) {
      received_.insert(received_.end(), chunk.begin(), chunk.begin() + got);
      parse();
      continue;
    }
    if (got < 0 && error.is(G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) break;
    fail(Error(ErrorCode::disconnected,
               "The control connection with " + peer_ + " ended" +
                   (got < 0 ? std::string(": ") + error.message() : std::string())));
  }
  reading_ = false;
}

void Channel::parse() {
  std::size_t begin = 0;
  while (!closed_ && received_.size() - begin >= kFrameHeaderSize) {
    const auto header = decode_frame_header(
        std::span<const std::byte, kFrameHeaderSize>(received_.data() + begin, kFrameHeaderSize));
    if (!header) {
      fail(Error(ErrorCode::protocol, peer_ + " does not speak the grainfabric control protocol",
                 "Is something else listening on that port? The default port is 20886."));
      return;
    }
    if (header->length > max_body_) {
      fail(Error(ErrorCode::protocol, peer_ + " announced a control message of " +
                                          std::to_string(header->length) + " bytes, more than " +
                                          std::to_string(max_body_)));
      return;
    }
    if (received_.size() - begin - kFrameHeaderSize < header->length) break;
    const GlibPtr<GBytes> body(
        g_bytes_new(received_.data() + begin + kFrameHeaderSize, header->length));
    begin += kFrameHeaderSize + header->length;
    GlibPtr<GVariant> raw(
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE_VARDICT, body.get(), FALSE)));
    if (g_variant_is_normal_form(raw.get()) != TRUE) {
      fail(Error(ErrorCode::protocol, peer_ + " sent a control message that is not a GVariant"));
      return;
    }
    if (G_BYTE_ORDER == G_BIG_ENDIAN) raw.reset(g_variant_byteswap(raw.get()));
    try {
      events_.on_message(header->type, raw.get());
    } catch (const Error& error) {
      fail(error);
      return;
    }
  }
  if (!closed_) received_.erase(received_.begin(), received_.begin() + static_cast<long>(begin));
}

void Channel::send(std::uint16_t type, const GlibPtr<GVariant>& fields) {
  if (closed_) return;
  GlibPtr<GVariant> body(g_variant_get_normal_form(fields.get()));
  if (G_BYTE_ORDER == G_BIG_ENDIAN) body.reset(g_variant_byteswap(body.get()));
  const std::size_t size = g_variant_get_size(body.get());
  std::vector<std::byte> frame;
  frame.reserve(kFrameHeaderSize + size);
  const auto header = encode_frame_header({type, static_cast<std::uint32_t>(size)});
  frame.insert(frame.end(), header.begin(), header.end());
  const auto* data = static_cast<const std::byte*>(g_variant_get_data(body.get()));
  frame.insert(frame.end(), data, data + size);
  queued_bytes_ += frame.size();
  to_send_.push_back(std::move(frame));
  if (queued_bytes_ > kMaxQueuedBytes) {
    // The caller does not expect to lose the channel here: the reading side will report the end.
    drop_queue();
    g_socket_shutdown(g_socket_connection_get_socket(connection_.get()), TRUE, TRUE, nullptr);
    return;
  }
  if (!writable_) write_some();
}

void Channel::drop_queue() {
  to_send_.clear();
  queued_bytes_ = 0;
  sent_of_front_ = 0;
}

void Channel::write_some() {
  while (!closed_ && !to_send_.empty()) {
    const std::vector<std::byte>& frame = to_send_.front();
    GErrorSlot error;
    const gssize sent = g_pollable_output_stream_write_nonblocking(
        output_, frame.data() + sent_of_front_, frame.size() - sent_of_front_, nullptr,
        error.out());
    if (sent < 0) {
      if (!error.is(G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
        drop_queue();  // the reading side reports the end, after what the peer said last
        return;
      }
      if (!writable_) {
        writable_.reset(g_pollable_output_stream_create_source(output_, nullptr));
        g_source_set_callback(writable_.get(), G_SOURCE_FUNC(on_writable), this, nullptr);
        g_source_attach(writable_.get(), loop_.context());
      }
      return;
    }
    sent_of_front_ += static_cast<std::size_t>(sent);
    if (sent_of_front_ == frame.size()) {
      queued_bytes_ -= frame.size();
      sent_of_front_ = 0;
      to_send_.pop_front();
    }
  }
}

}  // namespace grainfabric
