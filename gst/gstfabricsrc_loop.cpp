// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "gstfabricsrc_source.hpp"

using fabric::EventPtr;
using fabric::Source;
using grainfabric::Incoming;
using grainfabric::IncomingGrain;
using grainfabric::StreamEvent;
using grainfabric::Target;

namespace {

/// How long the streaming thread waits before it looks at its timeout again; state changes break
/// the wait at once.
constexpr std::chrono::milliseconds kPatience{100};

bool is_sticky(const Incoming& item) {
  const auto* event = std::get_if<StreamEvent>(&item);
  return event != nullptr && event->sticky;
}

}  // namespace

static void gst_fabric_src_look_at_timeout(Source& source) {
  GST_OBJECT_LOCK(source.element);
  const guint64 timeout = source.timeout;
  GST_OBJECT_UNLOCK(source.element);
  if (timeout == 0 || source.timeout_told) return;
  const auto quiet = std::chrono::steady_clock::now() - source.last_item;
  if (quiet < std::chrono::nanoseconds(timeout)) return;
  source.timeout_told = true;
  gst_element_post_message(
      GST_ELEMENT_CAST(source.element),
      gst_message_new_element(
          GST_OBJECT(source.element),
          gst_structure_new("fabric-timeout", "timeout", G_TYPE_UINT64, timeout, nullptr)));
}

/// `eos` is what asked for the end, so that its sequence number goes on; null: this element.
static void gst_fabric_src_stop_streaming(Source& source, GstFlowReturn flow, EventPtr eos) {
  gst_pad_pause_task(source.pad);
  if (flow == GST_FLOW_EOS) {
    gst_pad_push_event(source.pad, eos ? eos.release() : gst_event_new_eos());
  } else if (flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS) {
    if (flow != GST_FLOW_CUSTOM_ERROR) GST_ELEMENT_FLOW_ERROR(source.element, flow);
    gst_pad_push_event(source.pad, gst_event_new_eos());
  }
}

void gst_fabric_src_loop(gpointer element) {
  Source& source = *GST_FABRIC_SRC(element)->source;
  std::shared_ptr<Target> target;
  {
    std::unique_lock lock(source.mutex);
    source.changed.wait(lock,
                        [&] { return source.playing || source.flushing || source.wanted_eos; });
    if (source.flushing) {
      gst_pad_pause_task(source.pad);
      return;
    }
    if (EventPtr eos = std::move(source.wanted_eos)) {
      lock.unlock();
      gst_fabric_src_stop_streaming(source, GST_FLOW_EOS, std::move(eos));
      return;
    }
    target = source.target;
  }
  auto item = source.held ? std::exchange(source.held, std::nullopt) : target->pop(kPatience);
  if (!item) {
    gst_fabric_src_look_at_timeout(source);
    return;
  }
  source.last_item = std::chrono::steady_clock::now();
  source.timeout_told = false;
  {
    // A pause that came meanwhile holds the item back.
    std::unique_lock lock(source.mutex);
    source.changed.wait(lock, [&] { return source.playing || source.flushing; });
    if (source.flushing) {
      if (is_sticky(*item)) source.held = std::move(item);
      gst_pad_pause_task(source.pad);
      return;
    }
  }
  GstFlowReturn flow = GST_FLOW_OK;
  if (auto* grain = std::get_if<IncomingGrain>(&*item)) {
    flow = gst_fabric_src_push_grain(source, std::move(*grain));
    if (flow == GST_FLOW_OK && source.buffers_left > 0 && --source.buffers_left == 0) {
      flow = GST_FLOW_EOS;
    }
  } else {
    flow = gst_fabric_src_push_event(source, std::get<StreamEvent>(*item));
    if (is_sticky(*item) && GST_PAD_IS_FLUSHING(source.pad)) {  // and has refused it
      source.held = std::move(item);
      source.senders_eos.reset();
      return;
    }
  }
  if (flow == GST_FLOW_OK) return;
  gst_fabric_src_stop_streaming(source, flow, std::move(source.senders_eos));
}
