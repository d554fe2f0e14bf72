// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/base/gstpushsrc.h>

#include <cstdint>

/// A source that touches only the ends of the buffers it is given: what is measured behind it is
/// the way of a picture, not its making. Renders into the pool or allocator that downstream offers,
/// or with `own-memory` into system memory of its own.
///
/// With `fill` the first so many buffers are written whole: what is sent from pages that nobody
/// ever wrote is read from the one zero page, which lies in the cache.
///
/// Takes the raw caps that follow it; frames have `size` bytes.
G_BEGIN_DECLS
G_DECLARE_FINAL_TYPE(GstEndsSource, gst_ends_source, GST, ENDS_SOURCE, GstPushSrc)
G_END_DECLS

/// What it writes at the start of a buffer, and again at its end.
struct EndsMark {
  std::uint64_t number;   ///< 1, 2, …
  std::uint64_t made_at;  ///< g_get_monotonic_time() in nanoseconds.
};

std::uint64_t monotonic_nanoseconds();
/// As element "endssrc".
bool register_ends_source();
