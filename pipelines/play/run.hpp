// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <list>
#include <map>
#include <mutex>
#include <string>

#include "gstptr.hpp"
#include "usage.hpp"
#include "witness.hpp"

namespace play {

struct Options {
  std::string host = "127.0.0.1";
  std::string provider = "auto";
  std::map<std::string, guint> ports;  ///< By stream: "video", "audio".
  std::string report;                  ///< Directory for what was seen; empty: none.
  bool progress = true;
  // Of the sender.
  std::string file;
  double seconds = 10;  ///< A shorter file is repeated, a longer one cut; 0: once, to its end.
  bool fast = false;    ///< As fast as it goes instead of in real time.
};

/// One pair's end here: a fabric element, and the witness beside it.
struct Stream {
  Stream(std::string stream_name, GstElement* fabric_element, GstPad* pad)
      : name(std::move(stream_name)), element(fabric_element), witness(pad) {}
  std::string name;
  GstElement* element;  ///< The pipeline's.
  Witness witness;
  std::string provider;  ///< As the peer's arrival told it.
  std::string reason;
};

/// A pipeline with fabric elements, from its start to its end: messages, signals, progress, report.
/// All but add() and the witnesses belong to the main thread.
class Run {
 public:
  /// `role` is "sent" or "received", and names the report.
  Run(const Options& options, std::string role);
  virtual ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Plays to the end. The exit code: 0, 1 after an error, 130 when it was broken off.
  int play();

 protected:
  /// `element` has been added to the pipeline; `pad` is where its buffers pass.
  Stream& add(const std::string& name, GstElement* element, GstPad* pad);
  void say(const std::string& line);
  void start_playing();

  /// The pipeline is in PAUSED and ready.
  virtual void on_ready() = 0;
  virtual void on_segment_done() {}
  /// SIGINT or SIGTERM: end in good order. A second one ends at once.
  virtual void on_interrupt() = 0;

  Options options_;
  fabric::ElementPtr pipeline_;
  std::mutex mutex_;           ///< Guards the list: streams come while others play.
  std::list<Stream> streams_;  ///< Grows only.

 private:
  void on_message(GstMessage* message);
  void on_peer(const GstMessage* message);
  void show_progress();
  void write_report();

  std::string role_;
  GMainLoop* loop_;
  int exit_code_ = 0;
  bool interrupted_ = false;
  bool ready_ = false;
  bool playing_ = false;
  bool line_open_ = false;  // an unfinished progress line stands on the terminal
  std::atomic<bool> begun_ = false;
  Usage before_;
  gint64 last_progress_ = 0;
};

}  // namespace play
