// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "gstfabricevent.hpp"
#include "gstfabricsrc_source.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using fabric::Source;
using grainfabric::StreamEvent;

namespace {

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

}  // namespace

/// A sender that comes back sends its sticky events again: what downstream has already is no news.
static bool gst_fabric_src_is_known(Source& source, GstEvent* event) {
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

GstFlowReturn gst_fabric_src_push_event(Source& source, const StreamEvent& stream_event) {
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
      source.layout.set_caps(source.pad, kept.get());
      source.audio.set_caps(kept.get());
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
      source.senders_eos.reset(event);
      return GST_FLOW_EOS;
    default:
      break;
  }
  gst_pad_push_event(source.pad, event);
  return GST_FLOW_OK;
}
