// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "run.hpp"

namespace play {

/// Decodes a file and sends its video and its audio, each by a fabricsink of its own.
class Send final : public Run {
 public:
  explicit Send(const Options& options);

 private:
  static void on_element_added(GstBin*, GstBin*, GstElement* element, gpointer);
  static void on_pad_added(GstElement* decoder, GstPad* pad, gpointer self);
  void connect_stream(GstPad* pad, const std::string& name, guint port);
  void end(Stream& stream);

  void on_ready() override;
  void on_segment_done() override;
  void on_interrupt() override;
};

}  // namespace play
