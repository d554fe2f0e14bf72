// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

#include <atomic>

namespace fabric {

/// How the pictures of the stream lie in their buffers: as the caps say, or as a GstVideoMeta does
/// for those downstream that understand it. Everything fits what is not raw video. Streaming
/// thread.
class PictureLayout {
 public:
  /// New caps have gone out of `pad`: asks downstream whether it understands GstVideoMeta.
  void set_caps(GstPad* pad, GstCaps* caps);
  /// Before each buffer: asks again if downstream has changed, by another branch of a tee, say.
  void follow(GstPad* pad);

  /// A sender's buffer flags, without the one that only caps of alternating fields have.
  [[nodiscard]] guint flags(guint flags) const;
  /// Whether a video meta from a peer fits the caps from that peer: readers rely on it.
  [[nodiscard]] bool fits(GstBuffer* buffer) const;
  /// `buffer` as downstream reads it: itself, or a copy in the layout of the caps, counted. Takes
  /// it.
  GstBuffer* readable(GstBuffer* buffer, std::atomic<guint64>& bytes_copied) const;

 private:
  void ask(GstPad* pad, GstCaps* caps);

  bool video_ = false;
  GstVideoInfo info_{};
  bool meta_understood_ = true;
};

}  // namespace fabric
