// SPDX-License-Identifier: Apache-2.0
#include "gstfabricpicture.hpp"

#include "gstptr.hpp"

namespace fabric {
namespace {

/// True if the meta says no more than the caps do.
bool is_plain_layout(const GstVideoMeta* meta, const GstVideoInfo& info) {
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(&info); ++i) {
    if (meta->offset[i] != GST_VIDEO_INFO_PLANE_OFFSET(&info, i) ||
        meta->stride[i] != GST_VIDEO_INFO_PLANE_STRIDE(&info, i)) {
      return false;
    }
  }
  return true;
}

}  // namespace

void PictureLayout::set_caps(GstPad* pad, GstCaps* caps) {
  video_ = gst_video_info_from_caps(&info_, caps);
  meta_understood_ = true;
  gst_pad_check_reconfigure(pad);  // asked for or not
  if (video_) ask(pad, caps);
}

void PictureLayout::follow(GstPad* pad) {
  if (!gst_pad_check_reconfigure(pad) || !video_) return;
  const CapsPtr caps(gst_pad_get_current_caps(pad));
  if (caps) ask(pad, caps.get());
}

void PictureLayout::ask(GstPad* pad, GstCaps* caps) {
  const QueryPtr query(gst_query_new_allocation(caps, FALSE));
  meta_understood_ = gst_pad_peer_query(pad, query.get()) &&
                     gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr);
  if (GST_PAD_IS_FLUSHING(pad)) gst_pad_mark_reconfigure(pad);  // nobody answers then
}

guint PictureLayout::flags(guint flags) const {
  const bool alternate =
      video_ && GST_VIDEO_INFO_INTERLACE_MODE(&info_) == GST_VIDEO_INTERLACE_MODE_ALTERNATE;
  if (video_ && !alternate) flags &= ~static_cast<guint>(GST_VIDEO_BUFFER_FLAG_ONEFIELD);
  return flags;
}

bool PictureLayout::fits(GstBuffer* buffer) const {
  if (!video_) return true;
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  return meta == nullptr || (meta->format == GST_VIDEO_INFO_FORMAT(&info_) &&
                             meta->width == static_cast<guint>(info_.width) &&
                             meta->height == static_cast<guint>(info_.height) &&
                             meta->n_planes == GST_VIDEO_INFO_N_PLANES(&info_));
}

GstBuffer* PictureLayout::readable(GstBuffer* buffer, std::atomic<guint64>& bytes_copied) const {
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  if (meta_understood_ || meta == nullptr || is_plain_layout(meta, info_)) return buffer;
  const gsize size = GST_VIDEO_INFO_SIZE(&info_);
  GstBuffer* plain = gst_buffer_new_allocate(nullptr, size, nullptr);
  GstVideoFrame from;
  GstVideoFrame to;
  if (gst_video_frame_map(&from, &info_, buffer, GST_MAP_READ)) {
    if (gst_video_frame_map(&to, &info_, plain, GST_MAP_WRITE)) {
      gst_video_frame_copy(&to, &from);
      gst_video_frame_unmap(&to);
      bytes_copied += size;
    }
    gst_video_frame_unmap(&from);
  }
  // Without the memories, metas of how they are laid out stay behind, too: GstVideoMeta is one.
  gst_buffer_copy_into(
      plain, buffer,
      static_cast<GstBufferCopyFlags>(GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS |
                                      GST_BUFFER_COPY_META),
      0, static_cast<gsize>(-1));
  gst_buffer_unref(buffer);
  return plain;
}

}  // namespace fabric
