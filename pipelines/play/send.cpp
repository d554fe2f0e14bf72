// SPDX-License-Identifier: Apache-2.0
#include "send.hpp"

#include <stdexcept>

namespace play {
namespace {

/// Error when the receiver is not there after this long, in ms.
constexpr guint kConnectTimeout = 10000;

GstSeekFlags flags(std::initializer_list<GstSeekFlags> list) {
  guint all = 0;
  for (const GstSeekFlags flag : list) all |= flag;
  return static_cast<GstSeekFlags>(all);
}

}  // namespace

Send::Send(const Options& options) : Run(options, "sent") {
  GstElement* decoder = gst_element_factory_make("uridecodebin", nullptr);
  if (decoder == nullptr) throw std::runtime_error("GStreamer's uridecodebin is not installed");
  GError* error = nullptr;
  const fabric::StringPtr uri(gst_filename_to_uri(options.file.c_str(), &error));
  const fabric::ErrorPtr owner(error);
  if (!uri) throw std::runtime_error(error->message);
  g_object_set(decoder, "uri", uri.get(), nullptr);
  g_signal_connect(decoder, "pad-added", G_CALLBACK(on_pad_added), this);
  g_signal_connect(decoder, "deep-element-added", G_CALLBACK(on_element_added), nullptr);
  gst_bin_add(GST_BIN(pipeline_.get()), decoder);
}

/// libav refers to its own pictures and so keeps them mapped, whereupon GStreamer copies each into
/// memory of its own before it lets go of it. Without direct rendering libav keeps pictures of its
/// own, and writes each once, into memory of fabricsink's pool.
void Send::on_element_added(GstBin*, GstBin*, GstElement* element, gpointer) {
  if (g_object_class_find_property(G_OBJECT_GET_CLASS(element), "direct-rendering") != nullptr) {
    g_object_set(element, "direct-rendering", FALSE, nullptr);
  }
}

void Send::on_pad_added(GstElement*, GstPad* pad, gpointer data) {
  auto& self = *static_cast<Send*>(data);
  const fabric::CapsPtr caps(gst_pad_get_current_caps(pad));
  if (!caps) return;
  const std::string type = gst_structure_get_name(gst_caps_get_structure(caps.get(), 0));
  for (const auto& [name, port] : self.options_.ports) {
    if (type == name + "/x-raw") self.connect_stream(pad, name, port);
  }
}

/// The decoder meets the fabricsink without anything in between: it asks it for a pool, and writes
/// the picture straight into the memory that it is sent from.
void Send::connect_stream(GstPad* pad, const std::string& name, guint port) {
  {
    const std::lock_guard lock(mutex_);
    for (const Stream& stream : streams_) {
      if (stream.name == name) return;  // a second sound track stays where it is
    }
  }
  GstElement* sink = gst_element_factory_make("fabricsink", (name + "-sink").c_str());
  g_object_set(sink, "host", options_.host.c_str(), "port", port, "provider",
               options_.provider.c_str(), "sync", options_.fast ? FALSE : TRUE, "connect-timeout",
               kConnectTimeout, nullptr);
  gst_bin_add(GST_BIN(pipeline_.get()), sink);
  const fabric::PadPtr sink_pad(gst_element_get_static_pad(sink, "sink"));
  Stream& stream = add(name, sink, sink_pad.get());
  if (options_.seconds > 0) {
    stream.witness.stop_at(static_cast<GstClockTime>(options_.seconds * GST_SECOND));
  }
  stream.witness.on_limit = [this, &stream] { end(stream); };
  gst_pad_link(pad, sink_pad.get());
  gst_element_sync_state_with_parent(sink);
}

/// EOS on this stream, from a thread that may wait: fabricsink lets the last buffers arrive first.
void Send::end(Stream& stream) {
  gst_element_call_async(
      stream.element,
      [](GstElement* sink, gpointer) {
        const fabric::PadPtr pad(gst_element_get_static_pad(sink, "sink"));
        gst_pad_send_event(pad.get(), gst_event_new_eos());
      },
      nullptr, nullptr);
}

void Send::on_ready() {
  // A file that ends before its time is begun again: with SEGMENT it says so instead of EOS, and
  // running time goes on. Files in which one cannot seek are played once.
  if (options_.seconds > 0 && gst_element_seek(pipeline_.get(), 1.0, GST_FORMAT_TIME,
                                               flags({GST_SEEK_FLAG_FLUSH, GST_SEEK_FLAG_SEGMENT}),
                                               GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, 0)) {
    return;  // playing begins when that is done
  }
  start_playing();
}

void Send::on_segment_done() {
  gst_element_seek(pipeline_.get(), 1.0, GST_FORMAT_TIME, flags({GST_SEEK_FLAG_SEGMENT}),
                   GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, 0);
}

void Send::on_interrupt() {
  say("Ending early; once more to stop at once.");
  const std::lock_guard lock(mutex_);
  for (Stream& stream : streams_) {
    stream.witness.stop_at(0);
    end(stream);
  }
}

}  // namespace play
