// SPDX-License-Identifier: Apache-2.0
#include "arrivals.hpp"

#include <algorithm>
#include <cstring>

#include "ends_source.hpp"

namespace {

constexpr std::uint64_t kFrame = 1'000'000'000U / 60;

}  // namespace

Arrivals::Arrivals(GstElement* sink, Latencies& latencies) : latencies_(latencies) {
  GstPad* pad = gst_element_get_static_pad(sink, "sink");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, this, nullptr);
  gst_object_unref(pad);
}

double Arrivals::seconds() const noexcept {
  return static_cast<double>(end_ - begin_) / 1e9;
}

GstPadProbeReturn Arrivals::on_buffer(GstPad*, GstPadProbeInfo* info, gpointer self) {
  static_cast<Arrivals*>(self)->take(GST_PAD_PROBE_INFO_BUFFER(info), monotonic_nanoseconds());
  return GST_PAD_PROBE_OK;
}

void Arrivals::take(GstBuffer* buffer, std::uint64_t now) {
  GstMapInfo map;
  if (gst_buffer_map(buffer, &map, GST_MAP_READ) == FALSE) return;
  EndsMark first{};
  EndsMark second{};
  std::memcpy(&first, map.data, sizeof first);
  std::memcpy(&second, map.data + map.size - sizeof second, sizeof second);
  gst_buffer_unmap(buffer, &map);
  if (first_at_ == 0) first_at_ = now;
  if (on_) {
    const std::scoped_lock lock(latencies_.mutex);
    if (over_) return;
    torn_ += first.number != second.number ? 1 : 0;
    if (begin_ == 0) {
      begin_ = now;
    } else {
      const std::uint64_t latency = now > first.made_at ? now - first.made_at : 0;
      ++counted_;
      missing_ += first.number - last_ - 1;
      late_ += latency > kFrame ? 1 : 0;
      latencies_.histogram.record(latency);
      latencies_.longest = std::max(latencies_.longest, latency);
    }
    end_ = now;
  }
  last_ = first.number;
  ++arrived_;
}
