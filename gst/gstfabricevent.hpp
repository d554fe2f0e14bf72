// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <optional>

#include "session/stream_event.hpp"

/// GstEvents as StreamEvents and back. The body is a GVariant a{sv}, little-endian, in normal form.

/// The event as it travels, or nothing for one that means something only within its process
/// (latency, seek, sink-message, flushes, …). Downstream: stream-start, caps, segment, tag, gap,
/// eos, segment-done, toc, stream-group-done, instant-rate-change, custom serialized and custom
/// sticky ones. Upstream: force-key-unit and other custom upstream events, reconfigure. Event
/// sequence numbers and running-time offset travel too.
std::optional<grainfabric::StreamEvent> fabric_event_to_stream(GstEvent* event);

/// A new event, or nullptr for a name this version does not know and for a body that makes no
/// sense (it comes from a peer). Group ids of stream-start are those of the sending process; the
/// caller maps them.
GstEvent* fabric_event_from_stream(const grainfabric::StreamEvent& event);
