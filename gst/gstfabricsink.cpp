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

#include "gstfabricsettings.hpp"
#include "gstfabricsink_sink.hpp"

using fabric::Sink;

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

enum Property : guint {
  kLeaky = fabric::kFirstOwnProperty,
  kWaitForConnection,
  kAutoReconnect,
  kConnectTimeout,
  kSlices,
  kRegisterMemory,
};

}  // namespace

static void gst_fabric_sink_uri_handler_init(gpointer iface, gpointer);

G_DEFINE_TYPE_WITH_CODE(GstFabricSink, gst_fabric_sink, GST_TYPE_BASE_SINK,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                              gst_fabric_sink_uri_handler_init))
GST_ELEMENT_REGISTER_DEFINE(fabricsink, "fabricsink", GST_RANK_NONE, GST_TYPE_FABRIC_SINK)

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

static void gst_fabric_sink_set_context(GstElement* element, GstContext* context) {
  GST_FABRIC_SINK(element)->sink->tai.set_context(context);
  GST_ELEMENT_CLASS(gst_fabric_sink_parent_class)->set_context(element, context);
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
    g_value_set_string(
        value, fabric::get_uri(sink.settings, fabric::kSinkDefaults.slots, sink.slices).c_str());
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

  fabric::install_shared_properties(object_class, "host", fabric::kSinkDefaults, 1, 2,
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
  element_class->change_state = gst_fabric_sink_change_state;
  element_class->set_context = gst_fabric_sink_set_context;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_set_static_metadata(
      element_class, "Fabric sink", "Sink/Network",
      "Writes buffers into the memory of a fabricsrc by RDMA or its substitutes, without a copy",
      "The grainfabric team");
  gst_type_mark_as_plugin_api(GST_TYPE_FABRIC_SINK_LEAKY, static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_FABRIC_POLLING, static_cast<GstPluginAPIFlags>(0));

  auto* base_class = GST_BASE_SINK_CLASS(klass);
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
