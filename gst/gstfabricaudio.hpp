// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/audio/audio.h>
#include <gst/gst.h>

namespace fabric {

/// How the samples of the stream lie in their buffers: as the caps say, and where those say planes,
/// as a GstAudioMeta does. Everything fits what is not raw audio. Streaming thread.
class AudioLayout {
 public:
  void set_caps(GstCaps* caps);

  /// Whether the audio meta from a peer, or its absence, fits the caps from that peer: readers rely
  /// on it.
  [[nodiscard]] bool fits(GstBuffer* buffer) const;

 private:
  bool audio_ = false;
  GstAudioInfo info_{};
};

}  // namespace fabric
