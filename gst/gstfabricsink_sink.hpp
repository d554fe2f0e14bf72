// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gstfabricsettings.hpp"
#include "gstfabricsink.hpp"
#include "gsttaioffset.hpp"
#include "session/initiator.hpp"
#include "transport/interface.hpp"

enum GstFabricSinkLeaky { GST_FABRIC_SINK_LEAKY_NONE, GST_FABRIC_SINK_LEAKY_UPSTREAM };

/// What the files of fabricsink share. Each has one idea:
///
/// | gstfabricsink… |                                                              |
/// |----------------|--------------------------------------------------------------|
/// | .cpp           | the class: properties, pad, URI                              |
/// | _state.cpp     | when the Initiator is there, and what breaks its waits       |
/// | _render.cpp    | buffers as grains                                            |
/// | _event.cpp     | the stream's events, and what upstream asks                  |
namespace fabric {

inline const Settings kSinkDefaults{
    "localhost", grainfabric::protocol::kDefaultPort, "auto", {}, 8};

/// What belongs to an element from PAUSED on, beside its settings.
struct Sink final : grainfabric::InitiatorEvents {
  explicit Sink(GstFabricSink* owner) : element(owner) {}

  GstFabricSink* element;
  Settings settings = kSinkDefaults;
  // Changeable while streaming.
  std::atomic<GstFabricSinkLeaky> leaky = GST_FABRIC_SINK_LEAKY_NONE;
  std::atomic<bool> wait_for_connection = true;
  std::atomic<guint> slices = 1;
  std::atomic<bool> register_memory = false;
  bool auto_reconnect = true;
  guint connect_timeout = 0;

  TaiOffset tai;
  std::mutex mutex;  // for the pointer; streaming and state changes exclude each other already
  std::shared_ptr<grainfabric::Initiator> initiator;
  std::vector<std::byte> metadata;                // streaming thread, reused
  std::vector<grainfabric::PayloadPart> payload;  // streaming thread, reused
  bool discont = false;                           // streaming thread: something was dropped
  gsize line = 1;  // streaming thread: bytes of a line, as the caps have it

  std::shared_ptr<grainfabric::Initiator> engine() {
    const std::lock_guard lock(mutex);
    return initiator;
  }
  /// What the stream goes out by, as far as that is known yet.
  std::string device() {
    const std::shared_ptr<grainfabric::Initiator> now = engine();
    if (std::string used = now ? now->stats().interface : std::string(); !used.empty()) return used;
    const std::string holder = grainfabric::transport::interface_of(settings.interface);
    return holder.empty() ? settings.interface : holder;
  }
  grainfabric::Initiator::PushPolicy policy() const {
    return {leaky == GST_FABRIC_SINK_LEAKY_NONE, wait_for_connection};
  }

  void on_peer(const grainfabric::PeerChange& change) override {
    tell_peer(GST_ELEMENT_CAST(element), change);
  }
  void on_upstream(const grainfabric::StreamEvent& event) override;
  void on_failed(const grainfabric::Error& error) override {
    tell_error(GST_ELEMENT_CAST(element), error);
  }
};

}  // namespace fabric

struct _GstFabricSink {
  GstBaseSink parent;
  fabric::Sink* sink;
};

// ---- state

GstStateChangeReturn gst_fabric_sink_change_state(GstElement* element, GstStateChange transition);
gboolean gst_fabric_sink_unlock(GstBaseSink* base);
gboolean gst_fabric_sink_unlock_stop(GstBaseSink* base);

// ---- streaming thread

GstFlowReturn gst_fabric_sink_prepare(GstBaseSink* base, GstBuffer* buffer);
GstFlowReturn gst_fabric_sink_render(GstBaseSink* base, GstBuffer* buffer);
gboolean gst_fabric_sink_event(GstBaseSink* base, GstEvent* event);
gboolean gst_fabric_sink_propose_allocation(GstBaseSink* base, GstQuery* query);
