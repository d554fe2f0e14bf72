// SPDX-License-Identifier: Apache-2.0
#include "gstfabricaudio.hpp"

namespace fabric {

void AudioLayout::set_caps(GstCaps* caps) {
  audio_ = gst_audio_info_from_caps(&info_, caps);
}

bool AudioLayout::fits(GstBuffer* buffer) const {
  if (!audio_) return true;
  const GstAudioMeta* meta = gst_buffer_get_audio_meta(buffer);
  if (meta == nullptr) {
    // Only a meta says where planes are.
    return info_.layout == GST_AUDIO_LAYOUT_INTERLEAVED || gst_buffer_get_size(buffer) == 0;
  }
  return GST_AUDIO_INFO_FORMAT(&meta->info) == GST_AUDIO_INFO_FORMAT(&info_) &&
         meta->info.layout == info_.layout && meta->info.channels == info_.channels &&
         meta->info.rate == info_.rate;
}

}  // namespace fabric
