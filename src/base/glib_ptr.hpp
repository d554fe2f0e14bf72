// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gio/gio.h>

#include <memory>

namespace grainfabric {

struct GlibDelete {
  void operator()(GVariant* p) const noexcept { g_variant_unref(p); }
  void operator()(GError* p) const noexcept { g_error_free(p); }
  void operator()(GBytes* p) const noexcept { g_bytes_unref(p); }
  void operator()(GSource* p) const noexcept {
    g_source_destroy(p);
    g_source_unref(p);
  }
  void operator()(char* p) const noexcept { g_free(p); }
};
/// Owns one reference of a GLib structure; a GSource is destroyed with its owner.
template <typename T>
using GlibPtr = std::unique_ptr<T, GlibDelete>;

struct GObjectDelete {
  void operator()(gpointer p) const noexcept { g_object_unref(p); }
};
/// Owns one reference of a GObject.
template <typename T>
using GObjectPtr = std::unique_ptr<T, GObjectDelete>;

/// Receives a GError** out-parameter.
class GErrorSlot {
 public:
  GErrorSlot() = default;
  GErrorSlot(const GErrorSlot&) = delete;
  GErrorSlot& operator=(const GErrorSlot&) = delete;
  ~GErrorSlot() { g_clear_error(&error_); }
  GError** out() noexcept {
    g_clear_error(&error_);
    return &error_;
  }
  explicit operator bool() const noexcept { return error_ != nullptr; }
  [[nodiscard]] bool is(GQuark domain, int code) const noexcept {
    return g_error_matches(error_, domain, code) == TRUE;
  }
  [[nodiscard]] const char* message() const noexcept { return error_ ? error_->message : ""; }

 private:
  GError* error_ = nullptr;
};

}  // namespace grainfabric
