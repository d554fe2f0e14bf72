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

gboolean gst_fabric_sink_start(GstBaseSink* base) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  grainfabric::InitiatorOptions options;
  GST_OBJECT_LOCK(base);
  options.host = sink.settings.host;
  options.port = static_cast<std::uint16_t>(sink.settings.port);
  options.provider = sink.settings.provider;
  options.interface = sink.settings.interface;
  options.slots = sink.settings.slots;
  options.polling = sink.settings.polling;
  options.auto_reconnect = sink.auto_reconnect;
  options.connect_timeout = std::chrono::milliseconds(sink.connect_timeout);
  const fabric::Settings settings = sink.settings;
  GST_OBJECT_UNLOCK(base);
  try {
    fabric::check_uri(settings);
    options.transport_options = fabric::transport_options(settings);
    auto initiator = std::make_shared<Initiator>(options, sink, EventLoop::shared(settings.cpus));
    initiator->start();
    const std::lock_guard lock(sink.mutex);
    sink.initiator = std::move(initiator);
  } catch (const grainfabric::Error& error) {
    fabric::tell_error(GST_ELEMENT_CAST(base), error);
    return FALSE;
  }
  sink.discont = false;
  sink.line = 1;
  sink.tai.reset();
  return TRUE;
}

gboolean gst_fabric_sink_stop(GstBaseSink* base) {
  fabric::log_final_stats(GST_ELEMENT(base));
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  std::shared_ptr<Initiator> initiator;
  {
    const std::lock_guard lock(sink.mutex);
    initiator.swap(sink.initiator);
  }
  if (initiator) {
    initiator->set_flushing(false);
    initiator->stop();
  }
  return TRUE;
}

gboolean gst_fabric_sink_unlock(GstBaseSink* base) {
  if (const auto initiator = GST_FABRIC_SINK(base)->sink->engine()) initiator->set_flushing(true);
  return TRUE;
}

gboolean gst_fabric_sink_unlock_stop(GstBaseSink* base) {
  if (const auto initiator = GST_FABRIC_SINK(base)->sink->engine()) initiator->set_flushing(false);
  return TRUE;
}
