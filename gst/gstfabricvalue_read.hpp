// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <string_view>
#include <utility>

#include "gstptr.hpp"

/// How one value of a peer is read (gstfabricvalue.hpp has the kinds): each decoder knows some of
/// them, and `unknown` passes on to the next.
namespace fabric {

/// What became of one value: `unknown` leaves out the field, `malformed` the whole.
enum class Outcome { ok, unknown, malformed };

/// Booleans, numbers, their sets and ranges, and strings.
Outcome decode_plain(std::string_view kind, GVariant* in, Value& out);
/// Types, enums and flags: by name, and only of types that this process has already.
Outcome decode_named(std::string_view kind, GVariant* in, Value& out);
/// Dates and times.
Outcome decode_time(std::string_view kind, GVariant* in, Value& out);

inline bool holds(GVariant* variant, const char* type) {
  return g_variant_is_of_type(variant, G_VARIANT_TYPE(type)) != FALSE;
}

/// Puts a boxed value of `type` into `out`; null is malformed.
template <typename Pointer>
Outcome take(Value& out, GType type, Pointer boxed) {
  if (!boxed) return Outcome::malformed;
  g_value_take_boxed(g_value_init(out.get(), type), boxed.release());
  return Outcome::ok;
}

}  // namespace fabric
