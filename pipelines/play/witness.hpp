// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "gstptr.hpp"

namespace play {

/// Stands at a pad and writes down every buffer that passes: what the sending process writes down
/// and what the receiving process writes down must be the same. Lives as long as the pad's
/// pipeline.
class Witness {
 public:
  /// `pad` is next to a fabric element. Afterwards begin_with(), stop_at() and others may be
  /// called.
  explicit Witness(GstPad* pad);
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  /// Called before the first buffer is taken down, from the streaming thread.
  std::function<void()> on_first;
  /// Called once when a buffer at or after the running time of stop_at() comes. It and all after it
  /// are held back from the pad.
  std::function<void()> on_limit;
  void stop_at(GstClockTime running_time) { limit_ = running_time; }

  struct Totals {
    std::uint64_t buffers = 0;
    std::uint64_t bytes = 0;
    double seconds = 0;      ///< From the first buffer to the last.
    double cpu_seconds = 0;  ///< What the witness itself took.
  };
  [[nodiscard]] Totals totals() const;
  [[nodiscard]] std::string caps() const;

  /// Keeps hold of the first and the last buffer from now on: two slots of the ring.
  void keep_pictures() { keep_pictures_ = true; }
  /// Writes them as PNG. False with the reason in `why` if there is none or it cannot be converted.
  bool save_picture(bool last, const std::string& path, std::string& why) const;

  /// One line a buffer: number, PTS, duration, size, checksum. Throws std::runtime_error.
  void write(const std::string& path) const;

 private:
  struct Passed {
    GstClockTime pts;
    GstClockTime duration;
    gsize size;
    std::uint64_t checksum;
  };
  static GstPadProbeReturn probe(GstPad*, GstPadProbeInfo* info, gpointer self);
  bool is_past_limit(GstBuffer* buffer) const;
  void take_down(GstBuffer* buffer);
  void forget();

  fabric::PadPtr pad_;
  std::atomic<GstClockTime> limit_ = GST_CLOCK_TIME_NONE;
  std::atomic<bool> keep_pictures_ = false;
  bool limit_told_ = false;  // streaming thread

  mutable std::mutex mutex_;
  std::vector<Passed> passed_;
  std::uint64_t bytes_ = 0;
  gint64 first_us_ = 0;
  gint64 last_us_ = 0;
  double cpu_seconds_ = 0;
  fabric::SamplePtr first_;
  fabric::SamplePtr last_;
};

}  // namespace play
