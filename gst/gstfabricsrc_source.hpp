// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "gstfabricaudio.hpp"
#include "gstfabricpicture.hpp"
#include "gstfabricring.hpp"
#include "gstfabricsettings.hpp"
#include "gstfabricsrc.hpp"
#include "gstfabrictimestamp.hpp"
#include "gstptr.hpp"
#include "gsttaioffset.hpp"
#include "session/target.hpp"

/// What the files of fabricsrc share. Each has one idea:
///
/// | gstfabricsrc…  |                                                                          |
/// |----------------|--------------------------------------------------------------------------|
/// | .cpp           | the class: properties, pad, URI                                          |
/// | _state.cpp     | when the Target is there, and when the task runs                         |
/// | _loop.cpp      | the task: takes what comes from the Target, and ends the stream          |
/// | _grain.cpp     | grains as buffers                                                        |
/// | _event.cpp     | the sender's events, downstream                                          |
/// | _requests.cpp  | what the application and downstream ask for: events, flushes, queries    |
namespace fabric {

inline const Settings kSourceDefaults{"", grainfabric::protocol::kDefaultPort, "auto", {}, 0};

struct Source final : grainfabric::TargetEvents {
  explicit Source(GstFabricSrc* owner) : element(owner) {}

  GstFabricSrc* element;
  GstPad* pad = nullptr;

  // Under the object lock.
  Settings settings = kSourceDefaults;
  TimestampMode mode = TimestampMode::arrival;
  bool keep_listening = false;
  guint64 timeout = 0;
  gint num_buffers = -1;

  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<grainfabric::Target> target;
  bool playing = false;
  bool flushing = true;
  EventPtr wanted_eos;  // of the application

  TaiOffset tai;
  std::atomic<guint64> bytes_copied = 0;
  std::atomic<bool> resumed = false;  // PLAYING again: what comes next has waited for it
  std::atomic<guint64> latency = 0;   // of timestamp-mode=reference

  // Streaming thread.
  Timestamper timestamper;
  std::unique_ptr<RingMemories> ring;
  PictureLayout layout;
  AudioLayout audio;
  EventPtr senders_eos;                       // which ends the stream here, too
  std::optional<grainfabric::Incoming> held;  // a sticky event that a flush came upon
  gint buffers_left = -1;
  std::chrono::steady_clock::time_point last_item;
  bool timeout_told = false;

  std::shared_ptr<grainfabric::Target> engine() {
    const std::lock_guard lock(mutex);
    return target;
  }
  void on_peer(const grainfabric::PeerChange& change) override {
    tell_peer(GST_ELEMENT_CAST(element), change);
  }
};

}  // namespace fabric

struct _GstFabricSrc {
  GstElement parent;
  fabric::Source* source;
};

// ---- state

GstStateChangeReturn gst_fabric_src_change_state(GstElement* element, GstStateChange transition);
gboolean gst_fabric_src_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode,
                                      gboolean active);

// ---- streaming thread

/// The task's function: one grain or event, or a short wait for one.
void gst_fabric_src_loop(gpointer element);
GstFlowReturn gst_fabric_src_push_grain(fabric::Source& source, grainfabric::IncomingGrain grain);
/// Returns GST_FLOW_EOS when the stream is to end here, by Source::senders_eos.
GstFlowReturn gst_fabric_src_push_event(fabric::Source& source,
                                        const grainfabric::StreamEvent& stream_event);

// ---- requests

gboolean gst_fabric_src_send_event(GstElement* element, GstEvent* event);
gboolean gst_fabric_src_src_event(GstPad* pad, GstObject* parent, GstEvent* event);
gboolean gst_fabric_src_src_query(GstPad* pad, GstObject* parent, GstQuery* query);
