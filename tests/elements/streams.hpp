// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

#include "gstptr.hpp"

/// Streams whose every buffer follows from its number, so that two processes agree on them without
/// a word. The number travels as the buffer's offset.
namespace fabric::test {

struct Stream {
  const char* name;
  std::vector<std::string> caps;  ///< One after the other, each for kBuffersPerCaps buffers.
  BufferPtr (*make)(GstCaps* caps, unsigned number);

  [[nodiscard]] unsigned length() const;
  /// The caps of buffer `number`; beyond length() they begin again.
  [[nodiscard]] CapsPtr caps_at(unsigned number) const;
  /// With bytes, times, offsets, flags and metas.
  [[nodiscard]] BufferPtr buffer(unsigned number) const;
};

inline constexpr unsigned kBuffersPerCaps = 4;

/// Raw video in six formats, each in sizes with odd strides, with and without GstVideoMeta; audio
/// interleaved and planar; encoded, ancillary and unknown data.
const std::vector<Stream>& streams();
const Stream& stream(const std::string& name);

/// What differs between a buffer and what came of it, or "". `flags` are those it came with.
std::string difference(GstBuffer* sent, GstBuffer* got, guint flags);

/// Bytes that follow from their number.
std::string noise(std::size_t size, unsigned number);

}  // namespace fabric::test
