// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "base/error.hpp"
#include "gstfabricsrc_source.hpp"

using fabric::Source;
using grainfabric::EventLoop;
using grainfabric::Target;

gboolean gst_fabric_src_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode,
                                      gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  Source& source = *GST_FABRIC_SRC(parent)->source;
  const auto target = source.engine();
  {
    const std::lock_guard lock(source.mutex);
    source.flushing = !active;
    if (active) source.wanted_eos.reset();
  }
  if (target) target->set_flushing(!active);
  source.changed.notify_all();
  if (!active) return gst_pad_stop_task(pad);
  source.last_item = std::chrono::steady_clock::now();
  source.timeout_told = false;
  GST_OBJECT_LOCK(parent);
  source.buffers_left = source.num_buffers;
  source.timestamper.reset(source.mode);
  GST_OBJECT_UNLOCK(parent);
  return gst_pad_start_task(pad, gst_fabric_src_loop, parent, nullptr);
}

static bool gst_fabric_src_open(GstFabricSrc* self) {
  Source& source = *self->source;
  grainfabric::TargetOptions options;
  GST_OBJECT_LOCK(self);
  options.address = source.settings.host;
  options.port = static_cast<std::uint16_t>(source.settings.port);
  options.provider = source.settings.provider;
  options.interface = source.settings.interface;
  options.slots = source.settings.slots;
  options.polling = source.settings.polling;
  options.pages = source.settings.pages;
  const fabric::Settings settings = source.settings;
  GST_OBJECT_UNLOCK(self);
  try {
    fabric::check_uri(settings);
    options.transport_options = fabric::transport_options(settings);
    auto target = std::make_shared<Target>(options, source, EventLoop::shared(settings.cpus));
    target->start();
    const std::lock_guard lock(source.mutex);
    source.target = std::move(target);
  } catch (const grainfabric::Error& error) {
    fabric::tell_error(GST_ELEMENT_CAST(self), error);
    return false;
  }
  source.bytes_copied = 0;
  source.latency = 0;
  source.tai.reset();
  g_object_notify(G_OBJECT(self), "current-port");
  return true;
}

static void gst_fabric_src_close(GstFabricSrc* self) {
  Source& source = *self->source;
  std::shared_ptr<Target> target;
  {
    const std::lock_guard lock(source.mutex);
    target.swap(source.target);
  }
  target.reset();
  source.held.reset();
  source.ring.reset();
}

GstStateChangeReturn gst_fabric_src_change_state(GstElement* element, GstStateChange transition) {
  auto* self = GST_FABRIC_SRC(element);
  Source& source = *self->source;
  const auto set_playing = [&](bool playing) {
    {
      const std::lock_guard lock(source.mutex);
      source.playing = playing;
      if (playing) source.resumed = true;
    }
    source.changed.notify_all();
  };
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !gst_fabric_src_open(self)) {
    return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED) set_playing(false);
  GstStateChangeReturn result =
      GST_ELEMENT_CLASS(g_type_class_peek(GST_TYPE_ELEMENT))->change_state(element, transition);
  if (result == GST_STATE_CHANGE_FAILURE) {
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) gst_fabric_src_close(self);
    return result;
  }
  switch (transition) {
    case GST_STATE_CHANGE_READY_TO_PAUSED:
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED:
      return GST_STATE_CHANGE_NO_PREROLL;  // live: nothing comes before PLAYING
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING:
      set_playing(true);
      break;
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      fabric::log_final_stats(element);
      gst_fabric_src_close(self);
      break;
    default:
      break;
  }
  return result;
}
