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

#include "gstfabricsettings.hpp"
#include "gstfabricsrc_source.hpp"
#include "gstfabrictimestamp.hpp"

using fabric::kSourceDefaults;
using fabric::Source;

namespace {

enum Property : guint {
  kTimestampMode = fabric::kFirstOwnProperty,
  kKeepListening,
  kTimeout,
  kCurrentPort,
  kNumBuffers,
};

}  // namespace

static void gst_fabric_src_uri_handler_init(gpointer iface, gpointer);

G_DEFINE_TYPE_WITH_CODE(GstFabricSrc, gst_fabric_src, GST_TYPE_ELEMENT,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                              gst_fabric_src_uri_handler_init))
GST_ELEMENT_REGISTER_DEFINE(fabricsrc, "fabricsrc", GST_RANK_NONE, GST_TYPE_FABRIC_SRC)

static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

// ---- properties -------------------------------------------------------------------------------

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
    g_value_set_string(value, fabric::get_uri(source.settings, kSourceDefaults.slots).c_str());
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

// ---- object -----------------------------------------------------------------------------------

static void gst_fabric_src_set_context(GstElement* element, GstContext* context) {
  GST_FABRIC_SRC(element)->source->tai.set_context(context);
  GST_ELEMENT_CLASS(gst_fabric_src_parent_class)->set_context(element, context);
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
      object_class, "address", kSourceDefaults, 0, 0,
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
