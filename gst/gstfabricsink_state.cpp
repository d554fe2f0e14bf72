// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "base/error.hpp"
#include "gstfabricsink_sink.hpp"

using fabric::Sink;
using grainfabric::EventLoop;
using grainfabric::Initiator;

static bool gst_fabric_sink_open(GstFabricSink* self) {
  Sink& sink = *self->sink;
  grainfabric::InitiatorOptions options;
  GST_OBJECT_LOCK(self);
  options.host = sink.settings.host;
  options.port = static_cast<std::uint16_t>(sink.settings.port);
  options.provider = sink.settings.provider;
  options.interface = sink.settings.interface;
  options.slots = sink.settings.slots;
  options.polling = sink.settings.polling;
  options.auto_reconnect = sink.auto_reconnect;
  options.connect_timeout = std::chrono::milliseconds(sink.connect_timeout);
  const fabric::Settings settings = sink.settings;
  GST_OBJECT_UNLOCK(self);
  try {
    fabric::check_uri(settings);
    options.transport_options = fabric::transport_options(settings);
    auto initiator = std::make_shared<Initiator>(options, sink, EventLoop::shared(settings.cpus));
    initiator->start();
    const std::lock_guard lock(sink.mutex);
    sink.initiator = std::move(initiator);
  } catch (const grainfabric::Error& error) {
    fabric::tell_error(GST_ELEMENT_CAST(self), error);
    return false;
  }
  sink.discont = false;
  sink.line = 1;
  sink.tai.reset();
  return true;
}

static void gst_fabric_sink_close(GstFabricSink* self) {
  Sink& sink = *self->sink;
  fabric::log_final_stats(GST_ELEMENT_CAST(self));
  std::shared_ptr<Initiator> initiator;
  {
    const std::lock_guard lock(sink.mutex);
    initiator.swap(sink.initiator);
  }
  if (initiator) {
    initiator->set_flushing(false);
    initiator->stop();
  }
}

/// Not by start() and stop(), which are for NULL and READY: what can be set in READY is to count,
/// and a sink in READY is not to keep others from its target.
GstStateChangeReturn gst_fabric_sink_change_state(GstElement* element, GstStateChange transition) {
  auto* self = GST_FABRIC_SINK(element);
  const bool opens = transition == GST_STATE_CHANGE_READY_TO_PAUSED;
  if (opens && !gst_fabric_sink_open(self)) return GST_STATE_CHANGE_FAILURE;
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(g_type_class_peek(GST_TYPE_BASE_SINK))->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (opens && result == GST_STATE_CHANGE_FAILURE)) {
    gst_fabric_sink_close(self);
  }
  return result;
}

gboolean gst_fabric_sink_unlock(GstBaseSink* base) {
  if (const auto initiator = GST_FABRIC_SINK(base)->sink->engine()) initiator->set_flushing(true);
  return TRUE;
}

gboolean gst_fabric_sink_unlock_stop(GstBaseSink* base) {
  if (const auto initiator = GST_FABRIC_SINK(base)->sink->engine()) initiator->set_flushing(false);
  return TRUE;
}
