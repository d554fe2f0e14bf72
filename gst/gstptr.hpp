// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <glib-object.h>
#include <gst/gst.h>

#include <memory>

/// Owning pointers for the reference-counted and heap types of GLib and GStreamer. Each owns one
/// reference; get() lends it, release() hands it to a function that takes ownership.
namespace fabric {

/// Calls one C function on what it deletes.
template <auto kRelease>
struct Released {
  template <typename T>
  void operator()(T* pointer) const noexcept {
    kRelease(pointer);
  }
};

struct MiniObjectUnref {
  template <typename T>
  void operator()(T* object) const noexcept {
    gst_mini_object_unref(GST_MINI_OBJECT_CAST(object));
  }
};

/// GstObject and every other class derived from GObject.
template <typename T>
using ObjectPtr = std::unique_ptr<T, Released<g_object_unref>>;
template <typename T>
using MiniObjectPtr = std::unique_ptr<T, MiniObjectUnref>;

using AllocatorPtr = ObjectPtr<GstAllocator>;
using BufferPoolPtr = ObjectPtr<GstBufferPool>;
using ClockPtr = ObjectPtr<GstClock>;
using ElementPtr = ObjectPtr<GstElement>;
using PadPtr = ObjectPtr<GstPad>;

using BufferPtr = MiniObjectPtr<GstBuffer>;
using BufferListPtr = MiniObjectPtr<GstBufferList>;
using CapsPtr = MiniObjectPtr<GstCaps>;
using ContextPtr = MiniObjectPtr<GstContext>;
using EventPtr = MiniObjectPtr<GstEvent>;
using MemoryPtr = MiniObjectPtr<GstMemory>;
using MessagePtr = MiniObjectPtr<GstMessage>;
using QueryPtr = MiniObjectPtr<GstQuery>;
using SamplePtr = MiniObjectPtr<GstSample>;
using TagListPtr = MiniObjectPtr<GstTagList>;
using TocEntryPtr = MiniObjectPtr<GstTocEntry>;
using TocPtr = MiniObjectPtr<GstToc>;

using BytesPtr = std::unique_ptr<GBytes, Released<g_bytes_unref>>;
using CapsFeaturesPtr = std::unique_ptr<GstCapsFeatures, Released<gst_caps_features_free>>;
using DateTimePtr = std::unique_ptr<GDateTime, Released<g_date_time_unref>>;
using ErrorPtr = std::unique_ptr<GError, Released<g_error_free>>;
using StringPtr = std::unique_ptr<gchar, Released<g_free>>;
using StringVectorPtr = std::unique_ptr<gchar*, Released<g_strfreev>>;
using StructurePtr = std::unique_ptr<GstStructure, Released<gst_structure_free>>;
using TimeZonePtr = std::unique_ptr<GTimeZone, Released<g_time_zone_unref>>;
using TypeClassPtr = std::unique_ptr<GTypeClass, Released<g_type_class_unref>>;
/// Make it by g_variant_ref_sink() from a floating one.
using VariantPtr = std::unique_ptr<GVariant, Released<g_variant_unref>>;

/// A GValue that unsets itself.
class Value {
 public:
  Value() = default;
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  ~Value() {
    if (G_IS_VALUE(&value_)) g_value_unset(&value_);
  }
  [[nodiscard]] GValue* get() noexcept { return &value_; }
  [[nodiscard]] GType type() const noexcept { return G_VALUE_TYPE(&value_); }
  /// After a function took what the value held.
  void forget() noexcept { value_ = G_VALUE_INIT; }

 private:
  GValue value_ = G_VALUE_INIT;
};

}  // namespace fabric
