// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/line.hpp"

#include <utility>

#include "tool/bench/limits.hpp"

namespace grainfabric::tool {

Line::Line(EventLoop& loop, GObjectPtr<GSocketConnection> connection, LineEvents& events)
    : events_(events),
      channel_(loop, std::move(connection), *this),
      heartbeat_(loop.every(protocol::kHeartbeat, [this] { beat(); })) {}

void Line::refuse(const Error& reason) {
  send(Refuse{{reason.code(), reason.what()}});
  close();
}

void Line::close() {
  heartbeat_.reset();
  channel_.close();
}

void Line::on_message(std::uint16_t raw_type, GVariant* fields) {
  heard_ = std::chrono::steady_clock::now();
  const auto type = static_cast<Type>(raw_type);
  if (type == Type::heartbeat) return;
  if (type == Type::refuse) {
    const auto refuse = protocol::Refuse::decode(fields);
    close();
    events_.on_line_ended(Error(refuse.code, peer() + " refused: " + refuse.text));
    return;
  }
  try {
    events_.on_line_message(type, fields);
  } catch (const Error& error) {
    refuse(error);
    events_.on_line_ended(error);
  }
}

void Line::on_channel_closed(const Error& reason) {
  heartbeat_.reset();
  events_.on_line_ended(reason);
}

void Line::beat() {
  const auto silence = std::chrono::steady_clock::now() - heard_;
  if (silence > kSilence) {
    close();
    events_.on_line_ended(Error(
        ErrorCode::timed_out,
        peer() + " is silent for " + std::to_string(kSilence / std::chrono::seconds(1)) + " s"));
    return;
  }
  send(Heartbeat{});
}

}  // namespace grainfabric::tool
