// SPDX-License-Identifier: Apache-2.0

/**
 * SECTION:element-fabricsrc
 * @title: fabricsrc
 * @short_description: Receives buffers that a fabricsink writes into its memory
 *
 * The target of a grain stream. It listens, offers a ring of registered shared memory to the one
 * fabricsink that connects, and pushes every grain that lands there as a buffer whose memory is the
 * slot itself: read-only, fd-backed, not a copy. The slot goes back to the sender when downstream
 * lets go of the buffer.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 fabricsrc port=20886 ! videoconvert ! autovideosink
 * gst-launch-1.0 fabricsrc uri="fabric://0.0.0.0:20887?provider=tcp" keep-listening=true ! fakesink
 * ]| Shows what one sender sends; takes one sender after the other.
 */

#include "gstfabricsrc.hpp"

#include <gst/video/video.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "gstfabricevent.hpp"
#include "gstfabricmeta.hpp"
#include "gstfabricring.hpp"
#include "gstfabricsettings.hpp"
#include "gstfabrictimestamp.hpp"
#include "gstptr.hpp"
#include "gsttaioffset.hpp"
#include "session/target.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using grainfabric::IncomingGrain;
using grainfabric::StreamEvent;
using grainfabric::Target;

namespace {

/// How long the streaming thread waits before it looks at its timeout again; state changes break
/// the wait at once.
constexpr std::chrono::milliseconds kPatience{100};

enum Property : guint {
  kTimestampMode = fabric::kFirstOwnProperty,
  kKeepListening,
  kTimeout,
  kCurrentPort,
  kNumBuffers,
};

const fabric::Settings kDefaults{"", grainfabric::protocol::kDefaultPort, "auto", {}, 0};

/// A group id of this process for one of a sending process: the streams of one sender belong
/// together here too, also when they come by different elements.
guint local_group_id(const std::string& sender, guint theirs) {
  constexpr std::size_t kEnough = 1024;
  static std::mutex mutex;
  static std::map<std::pair<std::string, guint>, guint> known;
  const std::lock_guard lock(mutex);
  if (known.size() > kEnough) known.clear();
  const auto [entry, fresh] = known.try_emplace({sender, theirs}, GST_GROUP_ID_INVALID);
  if (fresh) entry->second = gst_util_group_id_next();
  return entry->second;
}

struct Source final : grainfabric::TargetEvents {
  explicit Source(GstFabricSrc* owner) : element(owner) {}

  GstFabricSrc* element;
  GstPad* pad = nullptr;

  // Under the object lock.
  fabric::Settings settings = kDefaults;
  fabric::TimestampMode mode = fabric::TimestampMode::arrival;
  bool keep_listening = false;
  guint64 timeout = 0;
  gint num_buffers = -1;

  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<Target> target;
  bool playing = false;
  bool flushing = true;
  bool eos_wanted = false;

  fabric::TaiOffset tai;
  std::atomic<guint64> bytes_copied = 0;
  std::atomic<guint64> latency = 0;  // of timestamp-mode=reference

  // Streaming thread.
  fabric::Timestamper timestamper;
  std::unique_ptr<fabric::RingMemories> ring;
  GstVideoInfo video_info{};
  bool video = false;
  bool video_meta_understood = true;
  gint buffers_left = -1;
  std::chrono::steady_clock::time_point last_item;
  bool timeout_told = false;

  std::shared_ptr<Target> engine() {
    const std::lock_guard lock(mutex);
    return target;
  }
  void on_peer(const grainfabric::PeerChange& change) override {
    fabric::tell_peer(GST_ELEMENT_CAST(element), change);
  }
};

}  // namespace

struct _GstFabricSrc {
  GstElement parent;
  Source* source;
};

static void gst_fabric_src_uri_handler_init(gpointer iface, gpointer);

G_DEFINE_TYPE_WITH_CODE(GstFabricSrc, gst_fabric_src, GST_TYPE_ELEMENT,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                              gst_fabric_src_uri_handler_init))
GST_ELEMENT_REGISTER_DEFINE(fabricsrc, "fabricsrc", GST_RANK_NONE, GST_TYPE_FABRIC_SRC)

static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

// ---- stream -----------------------------------------------------------------------------------

/// Asks downstream whether it understands GstVideoMeta, after new caps.
static void gst_fabric_src_ask_downstream(Source& source, GstCaps* caps) {
  source.video = gst_video_info_from_caps(&source.video_info, caps);
  source.video_meta_understood = true;
  if (!source.video) return;
  const fabric::QueryPtr query(gst_query_new_allocation(caps, FALSE));
  source.video_meta_understood =
      gst_pad_peer_query(source.pad, query.get()) &&
      gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr);
}

/// True if the meta says no more than the caps do.
static bool is_plain_layout(const GstVideoMeta* meta, const GstVideoInfo& info) {
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(&info); ++i) {
    if (meta->offset[i] != GST_VIDEO_INFO_PLANE_OFFSET(&info, i) ||
        meta->stride[i] != GST_VIDEO_INFO_PLANE_STRIDE(&info, i)) {
      return false;
    }
  }
  return true;
}

/// Downstream reads pictures only as the caps describe them: one in another layout is copied. The
/// copies are counted.
static GstBuffer* gst_fabric_src_plain(Source& source, GstBuffer* buffer) {
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  if (source.video_meta_understood || meta == nullptr || is_plain_layout(meta, source.video_info)) {
    return buffer;
  }
  const gsize size = GST_VIDEO_INFO_SIZE(&source.video_info);
  GstBuffer* plain = gst_buffer_new_allocate(nullptr, size, nullptr);
  GstVideoFrame from;
  GstVideoFrame to;
  if (gst_video_frame_map(&from, &source.video_info, buffer, GST_MAP_READ)) {
    if (gst_video_frame_map(&to, &source.video_info, plain, GST_MAP_WRITE)) {
      gst_video_frame_copy(&to, &from);
      gst_video_frame_unmap(&to);
      source.bytes_copied += size;
    }
    gst_video_frame_unmap(&from);
  }
  gst_buffer_copy_into(
      plain, buffer,
      static_cast<GstBufferCopyFlags>(GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS), 0,
      static_cast<gsize>(-1));
  gst_buffer_unref(buffer);
  return plain;
}

/// A video meta from a peer must fit the caps from that peer: readers rely on it.
static bool video_meta_fits(const Source& source, GstBuffer* buffer) {
  if (!source.video) return true;
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  return meta == nullptr || (meta->format == GST_VIDEO_INFO_FORMAT(&source.video_info) &&
                             meta->width == static_cast<guint>(source.video_info.width) &&
                             meta->height == static_cast<guint>(source.video_info.height) &&
                             meta->n_planes == GST_VIDEO_INFO_N_PLANES(&source.video_info));
}

static GstBuffer* gst_fabric_src_buffer_of(Source& source, IncomingGrain& grain) {
  GstBuffer* buffer = gst_buffer_new();
  // These describe what the sender's process did with its memory, not this buffer.
  constexpr guint kOwnFlags = GST_BUFFER_FLAG_TAG_MEMORY | GST_MINI_OBJECT_FLAG_LOCKABLE |
                              GST_MINI_OBJECT_FLAG_LOCK_READONLY |
                              GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED;
  guint flags = grain.info.flags & ~kOwnFlags;
  const bool alternate = source.video && GST_VIDEO_INFO_INTERLACE_MODE(&source.video_info) ==
                                             GST_VIDEO_INTERLACE_MODE_ALTERNATE;
  if (source.video && !alternate) flags &= ~static_cast<guint>(GST_VIDEO_BUFFER_FLAG_ONEFIELD);
  GST_BUFFER_FLAG_SET(buffer, flags);
  if (grain.discont) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
  GST_BUFFER_OFFSET(buffer) = grain.info.offset;
  GST_BUFFER_OFFSET_END(buffer) = grain.info.offset_end;
  const auto metadata = grain.metadata;  // in the slot, which the lease keeps
  const grainfabric::GrainLease* lease = &grain.lease;
  grainfabric::GrainLease kept;
  if (grain.payload.empty()) {
    kept = std::move(grain.lease);  // until the metadata has been read
    lease = &kept;
  } else {
    if (!source.ring || !source.ring->serves(lease->ring().get())) {
      source.ring = std::make_unique<fabric::RingMemories>(lease->ring());
    }
    gst_buffer_append_memory(buffer, source.ring->wrap(grain));
    GST_BUFFER_FLAG_UNSET(buffer, GST_BUFFER_FLAG_TAG_MEMORY);  // for pools; the sender had it not
  }
  if (!fabric_meta_deserialize(buffer, metadata) || !video_meta_fits(source, buffer)) {
    GST_WARNING_OBJECT(source.element, "the metas of grain %" G_GUINT64_FORMAT " make no sense",
                       grain.info.sequence);
    gst_buffer_unref(buffer);
    return nullptr;
  }
  return buffer;
}

static GstFlowReturn gst_fabric_src_push_grain(Source& source, IncomingGrain grain) {
  const grainfabric::GrainInfo info = grain.info;
  GstBuffer* buffer = gst_fabric_src_buffer_of(source, grain);
  if (buffer == nullptr) {
    GST_ELEMENT_WARNING(source.element, STREAM, FORMAT,
                        ("A buffer from the sender has metas that do not fit it; it is left out."),
                        (nullptr));
    return GST_FLOW_OK;
  }
  if (!source.timestamper.segment_sent()) source.timestamper.push_segment(source.pad);
  source.timestamper.stamp(GST_ELEMENT_CAST(source.element), source.tai, info, buffer);
  const guint64 latency = source.timestamper.latency();
  if (source.latency.exchange(latency) != latency) {
    gst_element_post_message(GST_ELEMENT_CAST(source.element),
                             gst_message_new_latency(GST_OBJECT_CAST(source.element)));
  }
  return gst_pad_push(source.pad, gst_fabric_src_plain(source, buffer));
}

/// A sender that comes back sends its sticky events again: what downstream has already is no news.
static bool gst_fabric_src_is_known(Source& source, GstEvent* event) {
  if (!GST_EVENT_IS_STICKY(event)) return false;
  if (!GST_EVENT_IS_STICKY(event)) return false;
  const fabric::EventPtr present(gst_pad_get_sticky_event(source.pad, GST_EVENT_TYPE(event), 0));
  if (!present) return false;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START: {
      const gchar* before = nullptr;
      const gchar* now = nullptr;
      gst_event_parse_stream_start(present.get(), &before);
      gst_event_parse_stream_start(event, &now);
      return g_strcmp0(before, now) == 0;
    }
    case GST_EVENT_CAPS: {
      GstCaps* before = nullptr;
      GstCaps* now = nullptr;
      gst_event_parse_caps(present.get(), &before);
      gst_event_parse_caps(event, &now);
      return gst_caps_is_strictly_equal(before, now);
    }
    default:
      return false;
  }
}

/// Returns GST_FLOW_EOS when the stream is to end here.
static GstFlowReturn gst_fabric_src_push_event(Source& source, const StreamEvent& stream_event) {
  GstEvent* event = fabric_event_from_stream(stream_event);
  if (event == nullptr || !GST_EVENT_IS_DOWNSTREAM(event) || !GST_EVENT_IS_SERIALIZED(event)) {
    GST_WARNING_OBJECT(source.element, "an event \"%s\" from the sender makes no sense",
                       stream_event.name.c_str());
    if (event != nullptr) gst_event_unref(event);
    return GST_FLOW_OK;
  }
  if (gst_fabric_src_is_known(source, event)) {
    gst_event_unref(event);
    return GST_FLOW_OK;
  }
  GST_OBJECT_LOCK(source.element);
  const bool keep_listening = source.keep_listening;
  GST_OBJECT_UNLOCK(source.element);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START: {
      guint group = GST_GROUP_ID_INVALID;
      if (gst_event_parse_group_id(event, &group)) {
        const auto target = source.engine();
        const std::string peer = target ? target->stats().peer : "";
        event = gst_event_make_writable(event);
        gst_event_set_group_id(event, local_group_id(peer.substr(0, peer.rfind(':')), group));
      }
      source.timestamper.begin_stream();
      break;
    }
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      const fabric::CapsPtr kept(gst_caps_ref(caps));
      // Pushing a sticky event never fails; this tells now, and in words, what data flow would
      // later.
      const bool accepted = !gst_pad_is_linked(source.pad) ||
                            gst_pad_peer_query_accept_caps(source.pad, kept.get()) ||
                            GST_PAD_IS_FLUSHING(source.pad);
      gst_pad_push_event(source.pad, event);
      gst_fabric_src_ask_downstream(source, kept.get());
      if (accepted) return GST_FLOW_OK;
      const fabric::StringPtr text(gst_caps_to_string(kept.get()));
      GST_ELEMENT_ERROR(source.element, STREAM, FORMAT,
                        ("What follows does not take the sender's caps %s. Put a converter in "
                         "between, or change the sender's format.",
                         text.get()),
                        (nullptr));
      return GST_FLOW_CUSTOM_ERROR;  // told already
    }
    case GST_EVENT_SEGMENT:
      source.timestamper.set_sender_segment(event);
      source.timestamper.push_segment(source.pad);
      gst_event_unref(event);
      return GST_FLOW_OK;
    case GST_EVENT_GAP:
      if (!source.timestamper.segment_sent()) source.timestamper.push_segment(source.pad);
      event = source.timestamper.stamp_gap(GST_ELEMENT_CAST(source.element), event);
      break;
    case GST_EVENT_EOS:
      if (keep_listening) {
        GST_INFO_OBJECT(source.element, "the sender's stream ended; listening on");
        gst_event_unref(event);
        return GST_FLOW_OK;
      }
      gst_event_unref(event);
      return GST_FLOW_EOS;
    default:
      break;
  }
  gst_pad_push_event(source.pad, event);
  return GST_FLOW_OK;
}

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

static void gst_fabric_src_stop_streaming(Source& source, GstFlowReturn flow) {
  gst_pad_pause_task(source.pad);
  if (flow == GST_FLOW_EOS) {
    gst_pad_push_event(source.pad, gst_event_new_eos());
  } else if (flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS) {
    if (flow != GST_FLOW_CUSTOM_ERROR) GST_ELEMENT_FLOW_ERROR(source.element, flow);
    gst_pad_push_event(source.pad, gst_event_new_eos());
  }
}

static void gst_fabric_src_loop(gpointer element) {
  Source& source = *GST_FABRIC_SRC(element)->source;
  std::shared_ptr<Target> target;
  {
    std::unique_lock lock(source.mutex);
    source.changed.wait(lock,
                        [&] { return source.playing || source.flushing || source.eos_wanted; });
    if (source.flushing) {
      gst_pad_pause_task(source.pad);
      return;
    }
    if (source.eos_wanted) {
      lock.unlock();
      gst_fabric_src_stop_streaming(source, GST_FLOW_EOS);
      return;
    }
    target = source.target;
  }
  auto item = target->pop(kPatience);
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
  }
  if (flow != GST_FLOW_OK) gst_fabric_src_stop_streaming(source, flow);
}

// ---- state ------------------------------------------------------------------------------------

static gboolean gst_fabric_src_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode,
                                             gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  Source& source = *GST_FABRIC_SRC(parent)->source;
  const auto target = source.engine();
  {
    const std::lock_guard lock(source.mutex);
    source.flushing = !active;
    if (active) source.eos_wanted = false;
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
  const fabric::Settings settings = source.settings;
  GST_OBJECT_UNLOCK(self);
  try {
    fabric::check_uri(settings);
    auto target = std::make_shared<Target>(options, source);
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
  source.ring.reset();
}

static GstStateChangeReturn gst_fabric_src_change_state(GstElement* element,
                                                        GstStateChange transition) {
  auto* self = GST_FABRIC_SRC(element);
  Source& source = *self->source;
  const auto set_playing = [&](bool playing) {
    {
      const std::lock_guard lock(source.mutex);
      source.playing = playing;
    }
    source.changed.notify_all();
  };
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !gst_fabric_src_open(self)) {
    return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED) set_playing(false);
  GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_fabric_src_parent_class)->change_state(element, transition);
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
      gst_fabric_src_close(self);
      break;
    default:
      break;
  }
  return result;
}

static void gst_fabric_src_set_context(GstElement* element, GstContext* context) {
  GST_FABRIC_SRC(element)->source->tai.set_context(context);
  GST_ELEMENT_CLASS(gst_fabric_src_parent_class)->set_context(element, context);
}

// ---- events and queries -----------------------------------------------------------------------

static gboolean gst_fabric_src_flush(Source& source, GstEvent* event) {
  const bool start = GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_START;
  const auto target = source.engine();
  if (start) {
    const gboolean sent = gst_pad_push_event(source.pad, event);
    {
      const std::lock_guard lock(source.mutex);
      source.flushing = true;
    }
    if (target) target->set_flushing(true);
    source.changed.notify_all();
    gst_pad_pause_task(source.pad);
    return sent;
  }
  gboolean reset_time = TRUE;
  gst_event_parse_flush_stop(event, &reset_time);
  // The loop is out of pad and queue once it lets go of the stream lock.
  GST_PAD_STREAM_LOCK(source.pad);
  const gboolean sent = gst_pad_push_event(source.pad, event);
  source.timestamper.forget_segment();
  GST_PAD_STREAM_UNLOCK(source.pad);
  {
    const std::lock_guard lock(source.mutex);
    source.flushing = false;
    source.eos_wanted = false;
  }
  if (target) target->set_flushing(false);
  gst_pad_start_task(source.pad, gst_fabric_src_loop, source.element, nullptr);
  return sent;
}

/// Events that an application sends to the element.
static gboolean gst_fabric_src_send_event(GstElement* element, GstEvent* event) {
  Source& source = *GST_FABRIC_SRC(element)->source;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_EOS: {
      gst_event_unref(event);
      {
        const std::lock_guard lock(source.mutex);
        if (source.flushing) return FALSE;
        source.eos_wanted = true;
      }
      source.changed.notify_all();
      return TRUE;
    }
    case GST_EVENT_FLUSH_START:
    case GST_EVENT_FLUSH_STOP:
      return gst_fabric_src_flush(source, event);
    default:
      break;
  }
  if (!GST_EVENT_IS_UPSTREAM(event)) return gst_pad_push_event(source.pad, event);
  return gst_pad_send_event(source.pad, event);
}

static gboolean gst_fabric_src_src_event(GstPad*, GstObject* parent, GstEvent* event) {
  Source& source = *GST_FABRIC_SRC(parent)->source;
  gboolean handled = FALSE;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_LATENCY:
    case GST_EVENT_QOS:
      handled = TRUE;  // for this pipeline; the sender's has a clock of its own
      break;
    case GST_EVENT_SEEK:
      GST_INFO_OBJECT(parent, "a live stream from another process cannot be sought in");
      break;
    default:
      if (const auto upstream = fabric_event_to_stream(event)) {
        if (const auto target = source.engine()) {
          target->send_upstream(*upstream);
          handled = TRUE;
        }
      }
      break;
  }
  gst_event_unref(event);
  return handled;
}

static gboolean gst_fabric_src_src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  Source& source = *GST_FABRIC_SRC(parent)->source;
  switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_LATENCY:
      // Buffers are stamped as they arrive (or keep the sender's times) and pushed at once; with
      // timestamp-mode=reference they are as old as their journey took. Nothing is dropped here
      // however long downstream takes: the sender waits, so that there is no maximum.
      gst_query_set_latency(query, TRUE, source.latency, GST_CLOCK_TIME_NONE);
      return TRUE;
    case GST_QUERY_SEEKING: {
      GstFormat format = GST_FORMAT_TIME;
      gst_query_parse_seeking(query, &format, nullptr, nullptr, nullptr);
      gst_query_set_seeking(query, format, FALSE, 0, -1);
      return TRUE;
    }
    case GST_QUERY_SCHEDULING:
      gst_query_set_scheduling(query, GST_SCHEDULING_FLAG_SEQUENTIAL, 1, -1, 0);
      gst_query_add_scheduling_mode(query, GST_PAD_MODE_PUSH);
      return TRUE;
    default:
      return gst_pad_query_default(pad, parent, query);
  }
}

// ---- object -----------------------------------------------------------------------------------

static void gst_fabric_src_set_property(GObject* object, guint id, const GValue* value,
                                        GParamSpec* spec) {
  Source& source = *GST_FABRIC_SRC(object)->source;
  if (id == fabric::kPropertyUri) {
    fabric::set_uri_property(GST_ELEMENT_CAST(object), source.settings, g_value_get_string(value));
    return;
  }
  GST_OBJECT_LOCK(object);
  if (!fabric::set_shared_property(source.settings, id, value)) {
    switch (id) {
      case kTimestampMode:
        source.mode = static_cast<fabric::TimestampMode>(g_value_get_enum(value));
        break;
      case kKeepListening:
        source.keep_listening = g_value_get_boolean(value);
        break;
      case kTimeout:
        source.timeout = g_value_get_uint64(value);
        break;
      case kNumBuffers:
        source.num_buffers = g_value_get_int(value);
        break;
      default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        break;
    }
  }
  GST_OBJECT_UNLOCK(object);
}

static void gst_fabric_src_get_property(GObject* object, guint id, GValue* value,
                                        GParamSpec* spec) {
  Source& source = *GST_FABRIC_SRC(object)->source;
  const auto target = source.engine();
  if (id == fabric::kPropertyStats) {
    g_value_take_boxed(value,
                       fabric::stats_structure(target ? target->stats() : grainfabric::Stats(),
                                               source.bytes_copied));
    return;
  }
  if (id == kCurrentPort) {
    g_value_set_uint(value, target ? target->port() : 0);
    return;
  }
  GST_OBJECT_LOCK(object);
  if (id == fabric::kPropertyUri) {
    g_value_set_string(value, fabric::get_uri(source.settings, kDefaults.slots).c_str());
  } else if (!fabric::get_shared_property(source.settings, id, value)) {
    switch (id) {
      case kTimestampMode:
        g_value_set_enum(value, static_cast<gint>(source.mode));
        break;
      case kKeepListening:
        g_value_set_boolean(value, source.keep_listening);
        break;
      case kTimeout:
        g_value_set_uint64(value, source.timeout);
        break;
      case kNumBuffers:
        g_value_set_int(value, source.num_buffers);
        break;
      default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        break;
    }
  }
  GST_OBJECT_UNLOCK(object);
}

static void gst_fabric_src_finalize(GObject* object) {
  delete GST_FABRIC_SRC(object)->source;
  G_OBJECT_CLASS(gst_fabric_src_parent_class)->finalize(object);
}

static void gst_fabric_src_class_init(GstFabricSrcClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = gst_fabric_src_set_property;
  object_class->get_property = gst_fabric_src_get_property;
  object_class->finalize = gst_fabric_src_finalize;

  fabric::install_shared_properties(
      object_class, "address", kDefaults, 0, 0,
      "Length of the ring; 0: what the sender asks for. At least 2 otherwise");
  const auto ready = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                              GST_PARAM_MUTABLE_READY);
  const auto playing = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                GST_PARAM_MUTABLE_PLAYING);
  g_object_class_install_property(
      object_class, kTimestampMode,
      g_param_spec_enum("timestamp-mode", "Timestamp mode", "Which timestamps the buffers get",
                        GST_TYPE_FABRIC_TIMESTAMP_MODE,
                        static_cast<gint>(fabric::TimestampMode::arrival), ready));
  g_object_class_install_property(
      object_class, kKeepListening,
      g_param_spec_boolean("keep-listening", "Keep listening",
                           "After the sender's EOS: wait for the next sender (true), or end the "
                           "stream here too (false)",
                           FALSE, playing));
  g_object_class_install_property(
      object_class, kTimeout,
      g_param_spec_uint64("timeout", "Timeout",
                          "Post a \"fabric-timeout\" message when nothing comes for this long, in "
                          "ns; 0: never",
                          0, G_MAXUINT64, 0, playing));
  g_object_class_install_property(
      object_class, kCurrentPort,
      g_param_spec_uint("current-port", "Current port", "The port in use; 0 below PAUSED", 0, 65535,
                        0, static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
  g_object_class_install_property(
      object_class, kNumBuffers,
      g_param_spec_int("num-buffers", "Number of buffers",
                       "End the stream after this many buffers; -1: never", -1, G_MAXINT, -1,
                       ready));
  fabric::install_peer_signals(object_class);

  auto* element_class = GST_ELEMENT_CLASS(klass);
  element_class->change_state = gst_fabric_src_change_state;
  element_class->send_event = gst_fabric_src_send_event;
  element_class->set_context = gst_fabric_src_set_context;
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(
      element_class, "Fabric source", "Source/Network",
      "Receives buffers that a fabricsink writes into its memory, without a copy",
      "The grainfabric team");
  gst_type_mark_as_plugin_api(GST_TYPE_FABRIC_TIMESTAMP_MODE, static_cast<GstPluginAPIFlags>(0));
}

static void gst_fabric_src_init(GstFabricSrc* self) {
  self->source = new Source(self);
  GstPad* pad = gst_pad_new_from_static_template(&src_template, "src");
  self->source->pad = pad;
  gst_pad_set_activatemode_function(pad, gst_fabric_src_activate_mode);
  gst_pad_set_event_function(pad, gst_fabric_src_src_event);
  gst_pad_set_query_function(pad, gst_fabric_src_src_query);
  gst_element_add_pad(GST_ELEMENT_CAST(self), pad);
  GST_OBJECT_FLAG_SET(self, GST_ELEMENT_FLAG_SOURCE);
}

// ---- URI --------------------------------------------------------------------------------------

static GstURIType gst_fabric_src_uri_get_type(GType) {
  return GST_URI_SRC;
}

static const gchar* const* gst_fabric_src_uri_get_protocols(GType) {
  static const gchar* protocols[] = {"fabric", nullptr};
  return protocols;
}

static gchar* gst_fabric_src_uri_get_uri(GstURIHandler* handler) {
  gchar* uri = nullptr;
  g_object_get(handler, "uri", &uri, nullptr);
  return uri;
}

static gboolean gst_fabric_src_uri_set_uri(GstURIHandler* handler, const gchar* uri,
                                           GError** error) {
  return fabric::set_uri(GST_ELEMENT(handler), GST_FABRIC_SRC(handler)->source->settings, uri,
                         error);
}

static void gst_fabric_src_uri_handler_init(gpointer iface, gpointer) {
  auto* handler = static_cast<GstURIHandlerInterface*>(iface);
  handler->get_type = gst_fabric_src_uri_get_type;
  handler->get_protocols = gst_fabric_src_uri_get_protocols;
  handler->get_uri = gst_fabric_src_uri_get_uri;
  handler->set_uri = gst_fabric_src_uri_set_uri;
}
