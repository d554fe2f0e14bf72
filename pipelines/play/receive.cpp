// SPDX-License-Identifier: Apache-2.0
#include "receive.hpp"

#include <gst/video/video.h>

#include <cstdio>
#include <stdexcept>

namespace play {
namespace {

/// After an interruption the sender, which probably has it too, gets this long to end, in ms.
constexpr guint kGrace = 2000;

/// Answers the ALLOCATION query that this side reads pictures where GstVideoMeta says they are.
/// What does not say so gets those with padding copied together.
GstPadProbeReturn accept_video_meta(GstPad*, GstPadProbeInfo* info, gpointer) {
  GstQuery* query = GST_PAD_PROBE_INFO_QUERY(info);
  if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return GST_PAD_PROBE_OK;
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  return GST_PAD_PROBE_HANDLED;
}

}  // namespace

Receive::Receive(const Options& options) : Run(options, "received") {
  for (const auto& [name, port] : options.ports) {
    GstElement* source = gst_element_factory_make("fabricsrc", (name + "-source").c_str());
    GstElement* sink = gst_element_factory_make("fakesink", nullptr);
    if (source == nullptr || sink == nullptr) {
      throw std::runtime_error("The elements are not found; see GST_PLUGIN_PATH");
    }
    // The sender's times unchanged, since they are compared too.
    gst_util_set_object_arg(G_OBJECT(source), "timestamp-mode", "sender");
    g_object_set(source, "address", options.host.c_str(), "port", port, "provider",
                 options.provider.c_str(), nullptr);
    // It sees all there is to see at the pad; what it holds on to would be one slot less.
    g_object_set(sink, "sync", FALSE, "async", FALSE, "enable-last-sample", FALSE, nullptr);
    gst_bin_add_many(GST_BIN(pipeline_.get()), source, sink, nullptr);
    gst_element_link(source, sink);
    const fabric::PadPtr sink_pad(gst_element_get_static_pad(sink, "sink"));
    gst_pad_add_probe(sink_pad.get(), GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, accept_video_meta,
                      nullptr, nullptr);
    const fabric::PadPtr pad(gst_element_get_static_pad(source, "src"));
    Stream& stream = add(name, source, pad.get());
    if (name == "video" && !options.report.empty()) stream.witness.keep_pictures();
  }
}

void Receive::on_ready() {
  for (const Stream& stream : streams_) {
    guint port = 0;
    g_object_get(stream.element, "current-port", &port, nullptr);
    std::printf("%s=%u\n", stream.name.c_str(), port);  // what --stream of the sender takes
  }
  std::fflush(stdout);
  start_playing();
}

void Receive::on_interrupt() {
  g_timeout_add(
      kGrace,
      [](gpointer pipeline) -> gboolean {
        gst_element_send_event(GST_ELEMENT(pipeline), gst_event_new_eos());
        return G_SOURCE_REMOVE;
      },
      pipeline_.get());
}

}  // namespace play
