// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "free_port.hpp"
#include "gstptr.hpp"
#include "patience.hpp"

/// A sender and a receiver for tests: fabricsink and fabricsrc, each in a pipeline of its own, with
/// pads of the test in place of what is upstream and downstream, so that every byte, time and flag
/// is known.
namespace fabric::test {

using grainfabric::test::eventually;
using grainfabric::test::free_port;
using grainfabric::test::kPatience;

/// The provider that the suite runs with: FABRIC_TEST_PROVIDER.
std::string provider();
inline bool is_local() {
  return provider() == "local";
}
/// The address that receivers listen on: FABRIC_TEST_ADDRESS, or 127.0.0.1. Senders leave from
/// FABRIC_TEST_INTERFACE, where that is set.
std::string address();
using Properties = std::vector<std::pair<const char*, std::string>>;

/// A fabricsink or fabricsrc alone in a pipeline, with the provider set.
class Side {
 public:
  Side(const char* factory, const Properties& properties);
  /// To NULL, within bounded time.
  ~Side();
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  [[nodiscard]] GstElement* element() const { return element_; }
  [[nodiscard]] GstElement* pipeline() const { return pipeline_.get(); }
  GstStateChangeReturn set_state(GstState state) {
    return gst_element_set_state(pipeline_.get(), state);
  }
  /// Waits for a message of these types on the bus; other ones before it are gone. Null: none came.
  MessagePtr wait_message(int types, std::chrono::milliseconds limit = kPatience);
  /// Waits for a "fabric-peer" message with this state.
  bool wait_peer(const std::string& state, std::chrono::milliseconds limit = kPatience);
  /// A number out of `stats`.
  [[nodiscard]] guint64 stat(const char* name) const;
  [[nodiscard]] StructurePtr stats() const;

 private:
  ElementPtr pipeline_;
  GstElement* element_;
};

class Sender : public Side {
 public:
  explicit Sender(guint port, const Properties& properties = {});
  /// Joins what runs, after breaking its waits.
  ~Sender();

  /// stream-start, caps and a TIME segment.
  void begin(const std::string& caps, const char* stream_id = "test/stream");
  bool push(GstEvent* event) { return gst_pad_push_event(pad_.get(), event) == TRUE; }
  GstFlowReturn push(BufferPtr buffer) { return gst_pad_push(pad_.get(), buffer.release()); }
  [[nodiscard]] GstPad* pad() const { return pad_.get(); }

  /// Upstream events that reached the pad; waits for one of this type.
  EventPtr wait_upstream(GstEventType type);
  bool has_upstream(GstEventType type);

 private:
  EventPtr find_upstream(GstEventType type) const;
  static gboolean on_upstream(GstPad* pad, GstObject* parent, GstEvent* event);

  PadPtr pad_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<EventPtr> upstream_;
};

/// What came out of a fabricsrc: a buffer or an event.
struct Item {
  BufferPtr buffer;
  guint flags = 0;  ///< Of the buffer as it came: a copy has one of its own.
  EventPtr event;
  [[nodiscard]] bool is(GstEventType type) const {
    return event && GST_EVENT_TYPE(event.get()) == type;
  }
};

class Receiver : public Side {
 public:
  enum class Keep { copies, originals, nothing };

  /// Listens on address(), on any free port unless told otherwise, with timestamp-mode=sender.
  explicit Receiver(const Properties& properties = {}, Keep keep = Keep::copies);
  ~Receiver();

  /// PLAYING; what was set before holds.
  void start();
  [[nodiscard]] guint port() const;

  /// Called for each buffer on the streaming thread, before it is kept.
  std::function<void(GstBuffer*)> on_buffer;
  /// Whether the ALLOCATION query is told that GstVideoMeta is understood.
  bool understands_video_meta = true;

  /// From downstream of the fabricsrc.
  bool send_upstream(GstEvent* event) { return gst_pad_push_event(pad_.get(), event) == TRUE; }

  bool wait_buffers(std::size_t count, std::chrono::milliseconds limit = kPatience);
  bool wait_event(GstEventType type);
  [[nodiscard]] std::size_t buffers();
  /// Everything since the last take(), in order.
  std::vector<Item> take();
  /// The same without the events.
  std::vector<Item> take_buffers();

 private:
  static GstFlowReturn on_chain(GstPad* pad, GstObject* parent, GstBuffer* buffer);
  static gboolean on_event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean on_query(GstPad* pad, GstObject* parent, GstQuery* query);

  const Keep keep_;
  PadPtr pad_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> items_;
  std::size_t buffers_ = 0;
};

BufferPtr buffer_of(const std::string& bytes);
std::string bytes_of(GstBuffer* buffer);
CapsPtr caps_of(const std::string& text);

}  // namespace fabric::test
