// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <cstddef>
#include <span>
#include <vector>

/// The metas of a buffer as bytes, for the metadata part of a grain. Little-endian records,
/// described in gstfabricmeta_wire.hpp. Carries GstVideoMeta, GstAudioMeta,
/// GstReferenceTimestampMeta, GstVideoTimeCodeMeta, GstVideoCaptionMeta, GstVideoCropMeta,
/// GstVideoAFDMeta, GstVideoBarMeta and every GstCustomMeta; other metas belong to one process and
/// stay behind.

/// Appends the metas of `buffer` to `out` (nothing when it has none that travel). Any thread.
void fabric_meta_serialize(GstBuffer* buffer, std::vector<std::byte>& out);

/// Adds the metas in `bytes` to the writable `buffer`, whose memory is in place. The bytes come
/// from a peer: everything is checked, against the buffer's size too. Records of an unknown type
/// are skipped. Returns FALSE, having added only what came before, when the bytes make no sense.
bool fabric_meta_deserialize(GstBuffer* buffer, std::span<const std::byte> bytes);
