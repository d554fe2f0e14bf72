// SPDX-License-Identifier: Apache-2.0

/**
 * SECTION:element-fabricsink
 * @title: fabricsink
 * @short_description: Writes buffers into the memory of a fabricsrc, here or on another host
 *
 * The initiator of a grain stream. It connects to a fabricsrc, offers a pool of slots upstream, and
 * writes each buffer by RMA into a slot of the target's ring; caps, events, timestamps, flags and
 * metas travel along. Either side may start first, and either may go away and come back.
 *
 * ## Whose memory is copied
 * Buffers of the pool that is offered upstream, and those of a fabricsrc on this host, are sent
 * from where they are. Within one host (`local`) so are those that another element made of a
 * descriptor which can be handed on: a dmabuf, or a memfd that cannot be cut while somebody has it
 * mapped. Where a memfd allows seals and lacks that one, it is set (`F_SEAL_SHRINK`); whoever wants
 * to cut such a file later has to make another. RDMA devices (`verbs`) read such a memfd, too, once
 * it has been seen twice; not a dmabuf. With `register-memory` they read system memory, too. All
 * other memory is copied once there, and no transport else needs that. `grains-foreign` in `stats`
 * counts the buffers that were not of the pool, `bytes-copied` what was copied.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! video/x-raw,format=v210,width=1920,height=1080 ! \
 *     fabricsink host=receiver.example port=20886
 * gst-launch-1.0 audiotestsrc is-live=true ! audio/x-raw,format=S24LE,channels=8 ! \
 *     fabricsink uri="fabric://[::1]:20887?provider=tcp"
 * ]| Sends video and audio, each to a fabricsrc of its own.
 *
 * With sync=true the thread that pushes into it is given exact timers (PR_SET_TIMERSLACK), which it
 * keeps: pictures leave when they are due, not up to 50 us later.
 *
 * With `slices=N` a target of the engine (TargetOptions::report_slices) hears of a picture's first
 * lines while the last are being sent. A fabricsrc pushes whole buffers all the same.
 */

#include "gstfabricsink.hpp"

#include <gst/video/video.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "gstfabricallocator.hpp"
#include "gstfabricevent.hpp"
#include "gstfabricforeign.hpp"
#include "gstfabricmeta.hpp"
#include "gstfabricpool.hpp"
#include "gstfabricsettings.hpp"
#include "gstptr.hpp"
#include "gsttaioffset.hpp"
#include "session/initiator.hpp"
#include "transport/interface.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using grainfabric::EventLoop;
using grainfabric::Initiator;
using grainfabric::PayloadPart;

enum GstFabricSinkLeaky { GST_FABRIC_SINK_LEAKY_NONE, GST_FABRIC_SINK_LEAKY_UPSTREAM };

#define GST_TYPE_FABRIC_SINK_LEAKY (gst_fabric_sink_leaky_get_type())
static GType gst_fabric_sink_leaky_get_type(void) {
  static const GEnumValue values[] = {
      {GST_FABRIC_SINK_LEAKY_NONE, "Wait for a free slot: nothing is lost", "none"},
      {GST_FABRIC_SINK_LEAKY_UPSTREAM, "Drop the incoming buffer: never wait", "upstream"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstFabricSinkLeaky", values);
  return type;
}

namespace {

constexpr guint kDefaultSlots = 8;
/// EOS is posted when the target has all grains; a target that vanished must not hold it up longer.
constexpr std::chrono::milliseconds kDrain{5000};

enum Property : guint {
  kLeaky = fabric::kFirstOwnProperty,
  kWaitForConnection,
  kAutoReconnect,
  kConnectTimeout,
  kSlices,
  kRegisterMemory,
};

/// Keeps a buffer and its mappings until the engine has let go of it.
struct SentBuffer {
  GstBuffer* buffer;
  std::vector<GstMapInfo> maps;

  explicit SentBuffer(GstBuffer* sent) : buffer(gst_buffer_ref(sent)) {}
  SentBuffer(const SentBuffer&) = delete;
  SentBuffer& operator=(const SentBuffer&) = delete;
  ~SentBuffer() {
    for (GstMapInfo& map : maps) gst_memory_unmap(map.memory, &map);
    gst_buffer_unref(buffer);
  }
  static void release(void* self) { delete static_cast<SentBuffer*>(self); }
};

/// What is mapped, by the address that it has in its region if it is in one.
PayloadPart part_of(const GstMapInfo& map, bool register_memory) {
  const std::span bytes(reinterpret_cast<const std::byte*>(map.data), map.size);
  if (auto region = gst_fabric_memory_region(map.memory)) return {bytes, std::move(region)};
  if (auto view = gst_fabric_foreign_region(map.memory, map)) {
    return {view->bytes().subspan(map.memory->offset, map.size), view};
  }
  return {bytes, register_memory ? gst_fabric_system_region(map.memory, map) : nullptr};
}

/// What belongs to an element between start and stop, beside its settings.
struct Sink final : grainfabric::InitiatorEvents {
  explicit Sink(GstFabricSink* owner) : element(owner) {}

  GstFabricSink* element;
  fabric::Settings settings{
      "localhost", grainfabric::protocol::kDefaultPort, "auto", {}, kDefaultSlots};
  // Changeable while streaming.
  std::atomic<GstFabricSinkLeaky> leaky = GST_FABRIC_SINK_LEAKY_NONE;
  std::atomic<bool> wait_for_connection = true;
  std::atomic<guint> slices = 1;
  std::atomic<bool> register_memory = false;
  bool auto_reconnect = true;
  guint connect_timeout = 0;

  fabric::TaiOffset tai;
  std::mutex mutex;  // for the pointer; streaming and state changes exclude each other already
  std::shared_ptr<Initiator> initiator;
  std::vector<std::byte> metadata;   // streaming thread, reused
  std::vector<PayloadPart> payload;  // streaming thread, reused
  bool discont = false;              // streaming thread: something was dropped
  gsize line = 1;                    // streaming thread: bytes of a line, as the caps have it

  std::shared_ptr<Initiator> engine() {
    const std::lock_guard lock(mutex);
    return initiator;
  }
  /// What the stream goes out by, as far as that is known yet.
  std::string device() {
    const std::shared_ptr<Initiator> now = engine();
    if (std::string used = now ? now->stats().interface : std::string(); !used.empty()) return used;
    const std::string holder = grainfabric::transport::interface_of(settings.interface);
    return holder.empty() ? settings.interface : holder;
  }
  Initiator::PushPolicy policy() const {
    return {leaky == GST_FABRIC_SINK_LEAKY_NONE, wait_for_connection};
  }

  void on_peer(const grainfabric::PeerChange& change) override {
    fabric::tell_peer(GST_ELEMENT_CAST(element), change);
  }
  void on_upstream(const grainfabric::StreamEvent& event) override {
    GstEvent* upstream = fabric_event_from_stream(event);
    if (upstream == nullptr) return;
    if (!GST_EVENT_IS_UPSTREAM(upstream)) {
      gst_event_unref(upstream);
      return;
    }
    // Not from the loop thread: what is upstream may do as it likes, and take its time.
    gst_element_call_async(
        GST_ELEMENT_CAST(element),
        [](GstElement* sink, gpointer data) {
          gst_pad_push_event(GST_BASE_SINK_PAD(sink), gst_event_ref(GST_EVENT(data)));
        },
        upstream, [](gpointer data) { gst_event_unref(GST_EVENT(data)); });
  }
  void on_failed(const grainfabric::Error& error) override {
    fabric::tell_error(GST_ELEMENT_CAST(element), error);
  }
};

}  // namespace

struct _GstFabricSink {
  GstBaseSink parent;
  Sink* sink;
};

static void gst_fabric_sink_uri_handler_init(gpointer iface, gpointer);

G_DEFINE_TYPE_WITH_CODE(GstFabricSink, gst_fabric_sink, GST_TYPE_BASE_SINK,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                              gst_fabric_sink_uri_handler_init))
GST_ELEMENT_REGISTER_DEFINE(fabricsink, "fabricsink", GST_RANK_NONE, GST_TYPE_FABRIC_SINK)

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

// ---- state ------------------------------------------------------------------------------------

static gboolean gst_fabric_sink_start(GstBaseSink* base) {
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

static gboolean gst_fabric_sink_stop(GstBaseSink* base) {
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

static gboolean gst_fabric_sink_unlock(GstBaseSink* base) {
  if (const auto initiator = GST_FABRIC_SINK(base)->sink->engine()) initiator->set_flushing(true);
  return TRUE;
}

static gboolean gst_fabric_sink_unlock_stop(GstBaseSink* base) {
  if (const auto initiator = GST_FABRIC_SINK(base)->sink->engine()) initiator->set_flushing(false);
  return TRUE;
}

static void gst_fabric_sink_set_context(GstElement* element, GstContext* context) {
  GST_FABRIC_SINK(element)->sink->tai.set_context(context);
  GST_ELEMENT_CLASS(gst_fabric_sink_parent_class)->set_context(element, context);
}

// ---- stream -----------------------------------------------------------------------------------

static gboolean gst_fabric_sink_propose_allocation(GstBaseSink* base, GstQuery* query) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  GstCaps* caps = nullptr;
  gboolean need_pool = FALSE;
  gst_query_parse_allocation(query, &caps, &need_pool);
  GstVideoInfo info;
  // For other streams the size of a buffer is not known; what they send goes out from where it is.
  if (caps == nullptr || !gst_video_info_from_caps(&info, caps)) return TRUE;
  const auto size = static_cast<guint>(GST_VIDEO_INFO_SIZE(&info));
  if (need_pool && size > 0) {
    const grainfabric::Placement placement{sink.settings.pages, sink.device()};
    const fabric::BufferPoolPtr pool(gst_fabric_pool_new(sink.settings.slots, placement));
    GstStructure* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, caps, size, 0, 0);
    if (!gst_buffer_pool_set_config(pool.get(), config)) return FALSE;
    gst_query_add_allocation_pool(query, pool.get(), size, 2, 0);
  }
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  return TRUE;
}

/// Absolute time of a buffer: its running time on the pipeline's clock, as TAI.
static guint64 tai_of(GstBaseSink* base, Sink& sink, GstClockTime pts) {
  const fabric::ClockPtr clock(gst_element_get_clock(GST_ELEMENT_CAST(base)));
  if (!clock || base->segment.format != GST_FORMAT_TIME || !GST_CLOCK_TIME_IS_VALID(pts)) {
    return grainfabric::kNone;
  }
  const guint64 running = gst_segment_to_running_time(&base->segment, GST_FORMAT_TIME, pts);
  if (!GST_CLOCK_TIME_IS_VALID(running)) return grainfabric::kNone;
  const GstClockTimeDiff offset = sink.tai.get(GST_ELEMENT_CAST(base), clock.get());
  return gst_element_get_base_time(GST_ELEMENT_CAST(base)) + running + static_cast<guint64>(offset);
}

/// Bytes of a line of such pictures; 1 where a picture has no lines one after the other.
static gsize line_of(const GstVideoInfo& info) {
  const gint stride = GST_VIDEO_INFO_PLANE_STRIDE(&info, 0);
  return GST_VIDEO_FORMAT_INFO_IS_TILED(info.finfo) || stride <= 0 ? 1 : static_cast<gsize>(stride);
}

/// What slices of this buffer are made of: whole lines, of the first plane where there are several.
static gsize slice_unit_of(const Sink& sink, GstBuffer* buffer) {
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  const bool padded = meta != nullptr && sink.line > 1 && meta->stride[0] > 0;
  return padded ? static_cast<gsize>(meta->stride[0]) : sink.line;
}

/// Before the wait for the clock. The kernel lets a thread sleep 50 us longer than it asked for, in
/// case something else wakes the core by then (PR_SET_TIMERSLACK): a third of the latency at 60
/// pictures a second within one host.
static GstFlowReturn gst_fabric_sink_prepare(GstBaseSink* base, GstBuffer*) {
  static thread_local bool wakes_in_time = false;
  if (!wakes_in_time && gst_base_sink_get_sync(base)) {
    wakes_in_time = ::prctl(PR_SET_TIMERSLACK, 1UL) == 0;
  }
  return GST_FLOW_OK;
}

static GstFlowReturn gst_fabric_sink_render(GstBaseSink* base, GstBuffer* buffer) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  const auto initiator = sink.engine();
  if (!initiator) return GST_FLOW_FLUSHING;

  auto sent = std::make_unique<SentBuffer>(buffer);
  sink.payload.clear();
  const guint memories = gst_buffer_n_memory(buffer);
  sent->maps.reserve(memories);
  for (guint i = 0; i < memories; ++i) {
    GstMemory* memory = gst_buffer_peek_memory(buffer, i);
    GstMapInfo map;
    if (!gst_memory_map(memory, &map, GST_MAP_READ)) {
      GST_ELEMENT_ERROR(base, RESOURCE, READ, ("A buffer from upstream cannot be mapped."),
                        ("memory %u of %" GST_PTR_FORMAT, i, buffer));
      return GST_FLOW_ERROR;
    }
    sent->maps.push_back(map);
    sink.payload.push_back(part_of(map, sink.register_memory));
  }
  sink.metadata.clear();
  fabric_meta_serialize(buffer, sink.metadata);

  grainfabric::OutgoingGrain grain;
  grain.info.pts = GST_BUFFER_PTS(buffer);
  grain.info.dts = GST_BUFFER_DTS(buffer);
  grain.info.duration = GST_BUFFER_DURATION(buffer);
  grain.info.offset = GST_BUFFER_OFFSET(buffer);
  grain.info.offset_end = GST_BUFFER_OFFSET_END(buffer);
  grain.info.tai = tai_of(base, sink, GST_BUFFER_PTS(buffer));
  grain.info.flags = GST_BUFFER_FLAGS(buffer);
  if (sink.discont) grain.info.flags |= GST_BUFFER_FLAG_DISCONT;
  grain.metadata = sink.metadata;
  grain.payload = sink.payload;
  grain.release = {SentBuffer::release, sent.get()};
  grain.slices = sink.slices;
  if (grain.slices > 1) grain.slice_unit = slice_unit_of(sink, buffer);

  for (;;) {
    switch (initiator->push(grain, sink.policy())) {
      case Initiator::PushResult::accepted:
        static_cast<void>(sent.release());  // the engine's now
        sink.discont = false;
        return GST_FLOW_OK;
      case Initiator::PushResult::dropped:
        sink.discont = true;
        return GST_FLOW_OK;
      case Initiator::PushResult::failed:
        return GST_FLOW_ERROR;  // on_failed() has posted why
      case Initiator::PushResult::flushing: {
        // A pause breaks the wait, too, and the same buffer goes on after it.
        const GstFlowReturn flow = gst_base_sink_wait_preroll(base);
        if (flow != GST_FLOW_OK) return flow;
        break;
      }
    }
  }
}

static gboolean gst_fabric_sink_event(GstBaseSink* base, GstEvent* event) {
  Sink& sink = *GST_FABRIC_SINK(base)->sink;
  const auto initiator = sink.engine();
  if (initiator && GST_EVENT_IS_SERIALIZED(event) &&
      GST_EVENT_TYPE(event) != GST_EVENT_FLUSH_STOP) {
    if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START) initiator->forget_events();
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      GstVideoInfo info;
      const bool video = gst_video_info_from_caps(&info, caps);
      if (video) initiator->reserve(GST_VIDEO_INFO_SIZE(&info));
      sink.line = video ? line_of(info) : 1;
    }
    if (const auto stream_event = fabric_event_to_stream(event)) {
      initiator->push_event(*stream_event, sink.policy());
    }
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS && !initiator->drain(kDrain)) {
      const grainfabric::Stats stats = initiator->stats();
      if (stats.provider.empty() && stats.grains > 0) {
        GST_ELEMENT_WARNING(
            base, RESOURCE, WRITE,
            ("The stream ended without its target: %" G_GUINT64_FORMAT " buffers did not arrive.",
             stats.lost),
            (nullptr));
      }
    }
  }
  return GST_BASE_SINK_CLASS(gst_fabric_sink_parent_class)->event(base, event);
}

// ---- object -----------------------------------------------------------------------------------

static void gst_fabric_sink_set_property(GObject* object, guint id, const GValue* value,
                                         GParamSpec* spec) {
  Sink& sink = *GST_FABRIC_SINK(object)->sink;
  if (id == fabric::kPropertyUri) {
    fabric::set_uri_property(GST_ELEMENT_CAST(object), sink.settings, g_value_get_string(value));
    return;
  }
  GST_OBJECT_LOCK(object);
  if (!fabric::set_shared_property(sink.settings, id, value)) {
    switch (id) {
      case kLeaky:
        sink.leaky = static_cast<GstFabricSinkLeaky>(g_value_get_enum(value));
        break;
      case kWaitForConnection:
        sink.wait_for_connection = g_value_get_boolean(value);
        break;
      case kAutoReconnect:
        sink.auto_reconnect = g_value_get_boolean(value);
        break;
      case kConnectTimeout:
        sink.connect_timeout = g_value_get_uint(value);
        break;
      case kSlices:
        sink.slices = g_value_get_uint(value);
        break;
      case kRegisterMemory:
        sink.register_memory = g_value_get_boolean(value);
        break;
      default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        break;
    }
  }
  GST_OBJECT_UNLOCK(object);
}

static void gst_fabric_sink_get_property(GObject* object, guint id, GValue* value,
                                         GParamSpec* spec) {
  Sink& sink = *GST_FABRIC_SINK(object)->sink;
  if (id == fabric::kPropertyStats) {
    const auto initiator = sink.engine();
    g_value_take_boxed(
        value, fabric::stats_structure(initiator ? initiator->stats() : grainfabric::Stats(), 0));
    return;
  }
  GST_OBJECT_LOCK(object);
  if (id == fabric::kPropertyUri) {
    g_value_set_string(value, fabric::get_uri(sink.settings, kDefaultSlots, sink.slices).c_str());
  } else if (!fabric::get_shared_property(sink.settings, id, value)) {
    switch (id) {
      case kLeaky:
        g_value_set_enum(value, sink.leaky);
        break;
      case kWaitForConnection:
        g_value_set_boolean(value, sink.wait_for_connection);
        break;
      case kAutoReconnect:
        g_value_set_boolean(value, sink.auto_reconnect);
        break;
      case kConnectTimeout:
        g_value_set_uint(value, sink.connect_timeout);
        break;
      case kSlices:
        g_value_set_uint(value, sink.slices);
        break;
      case kRegisterMemory:
        g_value_set_boolean(value, sink.register_memory);
        break;
      default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        break;
    }
  }
  GST_OBJECT_UNLOCK(object);
}

static void gst_fabric_sink_finalize(GObject* object) {
  delete GST_FABRIC_SINK(object)->sink;
  G_OBJECT_CLASS(gst_fabric_sink_parent_class)->finalize(object);
}

static void gst_fabric_sink_class_init(GstFabricSinkClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = gst_fabric_sink_set_property;
  object_class->get_property = gst_fabric_sink_get_property;
  object_class->finalize = gst_fabric_sink_finalize;

  const fabric::Settings defaults{
      "localhost", grainfabric::protocol::kDefaultPort, "auto", {}, kDefaultSlots};
  fabric::install_shared_properties(object_class, "host", defaults, 1, 2,
                                    "Length of the ring to ask the target for, and of each batch "
                                    "of slots in the pool offered upstream");
  const auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                              GST_PARAM_MUTABLE_PLAYING);
  g_object_class_install_property(
      object_class, kLeaky,
      g_param_spec_enum("leaky", "Leaky",
                        "What to do with a buffer when the target has no free slot",
                        GST_TYPE_FABRIC_SINK_LEAKY, GST_FABRIC_SINK_LEAKY_NONE, flags));
  g_object_class_install_property(
      object_class, kWaitForConnection,
      g_param_spec_boolean("wait-for-connection", "Wait for connection",
                           "Without a target: hold the stream until there is one (true), or drop "
                           "and count (false)",
                           TRUE, flags));
  g_object_class_install_property(
      object_class, kSlices,
      g_param_spec_uint("slices", "Slices",
                        "Send each buffer in so many slices of whole lines, of which the target "
                        "is told one by one, so that it can begin with the first while the last "
                        "is being sent; fewer where there are not as many lines",
                        1, grainfabric::kMaxSlices, 1, flags));
  g_object_class_install_property(
      object_class, kRegisterMemory,
      g_param_spec_boolean("register-memory", "Register memory",
                           "Have RDMA devices read upstream's system memory where it is, from the "
                           "second time that it comes, rather than copy it: where its owner keeps "
                           "the same pages beneath it as long as it lives",
                           FALSE, flags));
  const auto ready = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                              GST_PARAM_MUTABLE_READY);
  g_object_class_install_property(
      object_class, kAutoReconnect,
      g_param_spec_boolean("auto-reconnect", "Automatic reconnection",
                           "Look for the target again when it is lost; false: that is an error",
                           TRUE, ready));
  g_object_class_install_property(
      object_class, kConnectTimeout,
      g_param_spec_uint("connect-timeout", "Connect timeout",
                        "Error when there is no target for this long, in ms; 0: never", 0, G_MAXINT,
                        0, ready));
  fabric::install_peer_signals(object_class);

  auto* element_class = GST_ELEMENT_CLASS(klass);
  element_class->set_context = gst_fabric_sink_set_context;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_set_static_metadata(
      element_class, "Fabric sink", "Sink/Network",
      "Writes buffers into the memory of a fabricsrc by RDMA or its substitutes, without a copy",
      "The grainfabric team");
  gst_type_mark_as_plugin_api(GST_TYPE_FABRIC_SINK_LEAKY, static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_FABRIC_POLLING, static_cast<GstPluginAPIFlags>(0));

  auto* base_class = GST_BASE_SINK_CLASS(klass);
  base_class->start = gst_fabric_sink_start;
  base_class->stop = gst_fabric_sink_stop;
  base_class->unlock = gst_fabric_sink_unlock;
  base_class->unlock_stop = gst_fabric_sink_unlock_stop;
  base_class->propose_allocation = gst_fabric_sink_propose_allocation;
  base_class->prepare = gst_fabric_sink_prepare;
  base_class->render = gst_fabric_sink_render;
  base_class->event = gst_fabric_sink_event;
}

static void gst_fabric_sink_init(GstFabricSink* self) {
  self->sink = new Sink(self);
  // It would keep a slot of the pool from its next picture.
  gst_base_sink_set_last_sample_enabled(GST_BASE_SINK(self), FALSE);
}

// ---- URI --------------------------------------------------------------------------------------

static GstURIType gst_fabric_sink_uri_get_type(GType) {
  return GST_URI_SINK;
}

static const gchar* const* gst_fabric_sink_uri_get_protocols(GType) {
  static const gchar* protocols[] = {"fabric", nullptr};
  return protocols;
}

static gchar* gst_fabric_sink_uri_get_uri(GstURIHandler* handler) {
  gchar* uri = nullptr;
  g_object_get(handler, "uri", &uri, nullptr);
  return uri;
}

static gboolean gst_fabric_sink_uri_set_uri(GstURIHandler* handler, const gchar* uri,
                                            GError** error) {
  return fabric::set_uri(GST_ELEMENT(handler), GST_FABRIC_SINK(handler)->sink->settings, uri,
                         error);
}

static void gst_fabric_sink_uri_handler_init(gpointer iface, gpointer) {
  auto* handler = static_cast<GstURIHandlerInterface*>(iface);
  handler->get_type = gst_fabric_sink_uri_get_type;
  handler->get_protocols = gst_fabric_sink_uri_get_protocols;
  handler->get_uri = gst_fabric_sink_uri_get_uri;
  handler->set_uri = gst_fabric_sink_uri_set_uri;
}
