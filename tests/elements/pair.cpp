// SPDX-License-Identifier: Apache-2.0
#include "pair.hpp"

#include <gst/video/video.h>

#include <cstdlib>

// Also used where no test runs, in peer.cpp: GLib's assertions, not gst-check's.
namespace fabric::test {
namespace {

GstStaticPadTemplate feeding_template =
    GST_STATIC_PAD_TEMPLATE("feed", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
GstStaticPadTemplate taking_template =
    GST_STATIC_PAD_TEMPLATE("take", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

/// A pad of the test that takes any caps, linked to the element's only one.
PadPtr pad_for(GstElement* element, GstPadDirection direction, gpointer owner) {
  const bool feeds = direction == GST_PAD_SRC;
  PadPtr pad(GST_PAD(gst_object_ref_sink(
      gst_pad_new_from_static_template(feeds ? &feeding_template : &taking_template, nullptr))));
  gst_pad_set_element_private(pad.get(), owner);
  const PadPtr peer(gst_element_get_static_pad(element, feeds ? "sink" : "src"));
  const GstPadLinkReturn linked =
      feeds ? gst_pad_link(pad.get(), peer.get()) : gst_pad_link(peer.get(), pad.get());
  g_assert_true(linked == GST_PAD_LINK_OK);
  gst_pad_set_active(pad.get(), TRUE);
  return pad;
}

std::chrono::milliseconds until(std::chrono::steady_clock::time_point deadline) {
  return std::max(std::chrono::milliseconds(0),
                  std::chrono::duration_cast<std::chrono::milliseconds>(
                      deadline - std::chrono::steady_clock::now()));
}

}  // namespace

std::string provider() {
  const char* name = std::getenv("FABRIC_TEST_PROVIDER");
  return name != nullptr ? name : "tcp";
}

std::string address() {
  const char* numeric = std::getenv("FABRIC_TEST_ADDRESS");
  return numeric != nullptr ? numeric : "127.0.0.1";
}

// ---- both -------------------------------------------------------------------------------------

Side::Side(const char* factory, const Properties& properties)
    : pipeline_(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr)))),
      element_(gst_element_factory_make(factory, nullptr)) {
  if (element_ == nullptr) g_error("no %s: is GST_PLUGIN_PATH set?", factory);
  gst_bin_add(GST_BIN(pipeline_.get()), element_);
  g_object_set(element_, "provider", provider().c_str(), nullptr);
  const char* from = std::getenv("FABRIC_TEST_INTERFACE");
  if (from != nullptr && g_str_equal(factory, "fabricsink")) {
    g_object_set(element_, "interface", from, nullptr);
  }
  for (const auto& [name, value] : properties) {
    gst_util_set_object_arg(G_OBJECT(element_), name, value.c_str());
  }
}

Side::~Side() {
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
}

MessagePtr Side::wait_message(int types, std::chrono::milliseconds limit) {
  GstBus* bus = GST_ELEMENT_BUS(pipeline_.get());
  return MessagePtr(gst_bus_timed_pop_filtered(bus, limit.count() * GST_MSECOND,
                                               static_cast<GstMessageType>(types)));
}

bool Side::wait_peer(const std::string& state, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (const MessagePtr message = wait_message(GST_MESSAGE_ELEMENT, until(deadline))) {
    const GstStructure* structure = gst_message_get_structure(message.get());
    if (gst_structure_has_name(structure, "fabric-peer") &&
        state == gst_structure_get_string(structure, "state")) {
      return true;
    }
  }
  return false;
}

StructurePtr Side::stats() const {
  GstStructure* stats = nullptr;
  g_object_get(element_, "stats", &stats, nullptr);
  return StructurePtr(stats);
}

guint64 Side::stat(const char* name) const {
  guint64 value = 0;
  if (!gst_structure_get_uint64(stats().get(), name, &value)) g_error("no statistic %s", name);
  return value;
}

// ---- sender -----------------------------------------------------------------------------------

Sender::Sender(guint port, const Properties& properties) : Side("fabricsink", properties) {
  gchar* host = nullptr;
  g_object_get(element(), "host", &host, nullptr);
  const StringPtr owner(host);
  if (g_str_equal(host, "localhost")) g_object_set(element(), "host", address().c_str(), nullptr);
  g_object_set(element(), "port", port, "sync", FALSE, nullptr);
  pad_ = pad_for(element(), GST_PAD_SRC, this);
  gst_pad_set_event_function(pad_.get(), on_upstream);
}

Sender::~Sender() {
  set_state(GST_STATE_NULL);
  gst_pad_set_active(pad_.get(), FALSE);
}

void Sender::begin(const std::string& caps, const char* stream_id) {
  g_assert_true(push(gst_event_new_stream_start(stream_id)));
  g_assert_true(push(gst_event_new_caps(caps_of(caps).get())));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  g_assert_true(push(gst_event_new_segment(&segment)));
}

gboolean Sender::on_upstream(GstPad* pad, GstObject*, GstEvent* event) {
  auto* self = static_cast<Sender*>(gst_pad_get_element_private(pad));
  {
    const std::lock_guard lock(self->mutex_);
    self->upstream_.emplace_back(event);
  }
  self->changed_.notify_all();
  return TRUE;
}

EventPtr Sender::find_upstream(GstEventType type) const {
  for (const EventPtr& event : upstream_) {
    if (GST_EVENT_TYPE(event.get()) == type) return EventPtr(gst_event_ref(event.get()));
  }
  return nullptr;
}

EventPtr Sender::wait_upstream(GstEventType type) {
  std::unique_lock lock(mutex_);
  EventPtr found;
  changed_.wait_for(lock, kPatience, [&] { return (found = find_upstream(type)) != nullptr; });
  return found;
}

bool Sender::has_upstream(GstEventType type) {
  const std::lock_guard lock(mutex_);
  return find_upstream(type) != nullptr;
}

// ---- receiver ---------------------------------------------------------------------------------

Receiver::Receiver(const Properties& properties, Keep keep)
    : Side("fabricsrc",
           [&] {
             Properties all{{"address", address()}, {"port", "0"}, {"timestamp-mode", "sender"}};
             all.insert(all.end(), properties.begin(), properties.end());
             return all;
           }()),
      keep_(keep) {
  pad_ = pad_for(element(), GST_PAD_SINK, this);
  gst_pad_set_chain_function(pad_.get(), on_chain);
  gst_pad_set_event_function(pad_.get(), on_event);
  gst_pad_set_query_function(pad_.get(), on_query);
}

Receiver::~Receiver() {
  set_state(GST_STATE_NULL);
  gst_pad_set_active(pad_.get(), FALSE);
}

void Receiver::start() {
  g_assert_false(set_state(GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE);
}

guint Receiver::port() const {
  guint port = 0;
  g_object_get(element(), "current-port", &port, nullptr);
  return port;
}

GstFlowReturn Receiver::on_chain(GstPad* pad, GstObject*, GstBuffer* buffer) {
  auto* self = static_cast<Receiver*>(gst_pad_get_element_private(pad));
  BufferPtr owner(buffer);
  if (self->on_buffer) self->on_buffer(buffer);
  Item item;
  item.flags = GST_BUFFER_FLAGS(buffer);
  if (self->keep_ == Keep::originals) item.buffer = std::move(owner);
  if (self->keep_ == Keep::copies) item.buffer.reset(gst_buffer_copy_deep(buffer));
  owner.reset();
  {
    const std::lock_guard lock(self->mutex_);
    ++self->buffers_;
    if (self->keep_ != Keep::nothing) self->items_.push_back(std::move(item));
  }
  self->changed_.notify_all();
  return GST_FLOW_OK;
}

gboolean Receiver::on_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = static_cast<Receiver*>(gst_pad_get_element_private(pad));
  Item item;
  item.event.reset(gst_event_ref(event));
  {
    const std::lock_guard lock(self->mutex_);
    self->items_.push_back(std::move(item));
  }
  self->changed_.notify_all();
  return gst_pad_event_default(pad, parent, event);
}

gboolean Receiver::on_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = static_cast<Receiver*>(gst_pad_get_element_private(pad));
  if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {  // by default: only those it has already
    gst_query_set_accept_caps_result(query, TRUE);
    return TRUE;
  }
  if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) {
    return gst_pad_query_default(pad, parent, query);
  }
  if (self->understands_video_meta) {
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  }
  return TRUE;
}

bool Receiver::wait_buffers(std::size_t count, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, limit, [&] { return buffers_ >= count; });
}

bool Receiver::wait_event(GstEventType type) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] {
    for (const Item& item : items_) {
      if (item.is(type)) return true;
    }
    return false;
  });
}

std::size_t Receiver::buffers() {
  const std::lock_guard lock(mutex_);
  return buffers_;
}

std::vector<Item> Receiver::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(items_, {});
}

std::vector<Item> Receiver::take_buffers() {
  std::vector<Item> items = take();
  std::erase_if(items, [](const Item& item) { return item.event != nullptr; });
  return items;
}

// ---- buffers ----------------------------------------------------------------------------------

BufferPtr buffer_of(const std::string& bytes) {
  return BufferPtr(gst_buffer_new_memdup(bytes.data(), bytes.size()));
}

std::string bytes_of(GstBuffer* buffer) {
  std::string bytes(gst_buffer_get_size(buffer), '\0');
  gst_buffer_extract(buffer, 0, bytes.data(), bytes.size());
  return bytes;
}

CapsPtr caps_of(const std::string& text) {
  return CapsPtr(gst_caps_from_string(text.c_str()));
}

}  // namespace fabric::test
