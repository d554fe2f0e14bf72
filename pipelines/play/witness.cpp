// SPDX-License-Identifier: Apache-2.0
#include "witness.hpp"

#include <gst/video/video.h>

#include <fstream>
#include <stdexcept>

#include "checksum.hpp"
#include "usage.hpp"

namespace play {
namespace {

std::uint64_t checksum_of(GstBuffer* buffer) {
  GstMapInfo map;
  if (gst_buffer_n_memory(buffer) == 1 && gst_buffer_map(buffer, &map, GST_MAP_READ)) {
    const std::uint64_t sum = checksum({reinterpret_cast<const std::byte*>(map.data), map.size});
    gst_buffer_unmap(buffer, &map);
    return sum;
  }
  // Mapping a buffer of several memories would join them, and change what is sent.
  std::vector<std::byte> joined(gst_buffer_get_size(buffer));
  gst_buffer_extract(buffer, 0, joined.data(), joined.size());
  return checksum(joined);
}

}  // namespace

Witness::Witness(GstPad* pad) : pad_(GST_PAD(gst_object_ref(pad))) {
  gst_pad_add_probe(
      pad, static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_FLUSH),
      probe, this, nullptr);
}

GstPadProbeReturn Witness::probe(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto& self = *static_cast<Witness*>(data);
  if ((info->type & GST_PAD_PROBE_TYPE_EVENT_FLUSH) != 0) {
    // The sender looks at the file before it plays: what it held ready for that was not sent.
    if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_FLUSH_STOP) self.forget();
    return GST_PAD_PROBE_OK;
  }
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  if (self.is_past_limit(buffer)) {
    if (!self.limit_told_ && self.on_limit) self.on_limit();
    self.limit_told_ = true;
    return GST_PAD_PROBE_DROP;
  }
  self.take_down(buffer);
  return GST_PAD_PROBE_OK;
}

bool Witness::is_past_limit(GstBuffer* buffer) const {
  if (limit_ == GST_CLOCK_TIME_NONE) return false;
  const fabric::EventPtr event(gst_pad_get_sticky_event(pad_.get(), GST_EVENT_SEGMENT, 0));
  if (!event || !GST_BUFFER_PTS_IS_VALID(buffer)) return limit_ == 0;
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event.get(), &segment);
  const guint64 running =
      gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
  return running != GST_CLOCK_TIME_NONE && running >= limit_;
}

void Witness::take_down(GstBuffer* buffer) {
  const double before = thread_cpu_seconds();
  const Passed passed{GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer),
                      gst_buffer_get_size(buffer), checksum_of(buffer)};
  const gint64 now = g_get_monotonic_time();
  const std::unique_lock lock(mutex_);
  if (passed_.empty()) {
    if (on_first) on_first();
    first_us_ = now;
  }
  if (keep_pictures_) {
    const fabric::CapsPtr caps(gst_pad_get_current_caps(pad_.get()));
    last_.reset(gst_sample_new(buffer, caps.get(), nullptr, nullptr));
    if (!first_) first_.reset(gst_sample_ref(last_.get()));
  }
  passed_.push_back(passed);
  bytes_ += passed.size;
  last_us_ = now;
  cpu_seconds_ += thread_cpu_seconds() - before;
}

void Witness::forget() {
  const std::lock_guard lock(mutex_);
  passed_.clear();
  bytes_ = 0;
  cpu_seconds_ = 0;
}

Witness::Totals Witness::totals() const {
  const std::lock_guard lock(mutex_);
  return {passed_.size(), bytes_, static_cast<double>(last_us_ - first_us_) / G_USEC_PER_SEC,
          cpu_seconds_};
}

std::string Witness::caps() const {
  const fabric::CapsPtr caps(gst_pad_get_current_caps(pad_.get()));
  if (!caps) return "";
  const fabric::StringPtr text(gst_caps_to_string(caps.get()));
  return text.get();
}

bool Witness::save_picture(bool last, const std::string& path, std::string& why) const {
  const std::lock_guard lock(mutex_);
  GstSample* sample = last ? last_.get() : first_.get();
  if (sample == nullptr) {
    why = "nothing arrived";
    return false;
  }
  const fabric::CapsPtr png(gst_caps_new_empty_simple("image/png"));
  GError* error = nullptr;
  const fabric::SamplePtr converted(
      gst_video_convert_sample(sample, png.get(), 10 * GST_SECOND, &error));
  const fabric::ErrorPtr owner(error);
  if (!converted) {
    why = error != nullptr ? error->message : "it cannot be converted";
    return false;
  }
  GstMapInfo map;
  if (!gst_buffer_map(gst_sample_get_buffer(converted.get()), &map, GST_MAP_READ)) return false;
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(map.data), static_cast<std::streamsize>(map.size));
  gst_buffer_unmap(gst_sample_get_buffer(converted.get()), &map);
  file.close();
  if (!file) why = "it cannot be written";
  return static_cast<bool>(file);
}

void Witness::write(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  std::ofstream file(path);
  std::uint64_t number = 0;
  for (const Passed& passed : passed_) {
    file << number++ << " pts=" << static_cast<gint64>(passed.pts)
         << " duration=" << static_cast<gint64>(passed.duration) << " size=" << passed.size
         << " checksum=" << std::hex << passed.checksum << std::dec << '\n';
  }
  file.close();
  if (!file) throw std::runtime_error("Cannot write " + path);
}

}  // namespace play
