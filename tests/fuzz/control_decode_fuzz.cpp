// SPDX-License-Identifier: Apache-2.0
// The frames of a control channel and the fields in them, without the connection around it: quick,
// and so deep. control_channel_fuzz has the connection.
#include <algorithm>
#include <cstddef>
#include <span>

#include "control_messages.hpp"
#include "message/frame.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace grainfabric;
  auto rest = std::as_bytes(std::span(data, size));
  while (rest.size() >= kFrameHeaderSize) {
    const auto header = decode_frame_header(rest.first<kFrameHeaderSize>());
    if (!header) break;
    rest = rest.subspan(kFrameHeaderSize);
    // A length that is too long counts as one that fits: how frames are cut is not the question.
    const auto body = rest.first(std::min<std::size_t>(header->length, rest.size()));
    rest = rest.subspan(body.size());
    const GlibPtr<GBytes> bytes(g_bytes_new(body.data(), body.size()));
    const GlibPtr<GVariant> fields(
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE_VARDICT, bytes.get(), FALSE)));
    if (g_variant_is_normal_form(fields.get()) != TRUE) continue;
    try {
      fuzz::decode_any(header->type, fields.get());
    } catch (const Error&) {
    }
  }
  return 0;
}
