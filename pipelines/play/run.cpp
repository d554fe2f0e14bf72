// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <glib-unix.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace play {
namespace {

constexpr guint kProgressInterval = 200;                      // ms, on a terminal
constexpr gint64 kProgressLineInterval = 2 * G_USEC_PER_SEC;  // where each one is a line of its own

/// Removes a GSource of the default context with its scope.
class Source {
 public:
  explicit Source(guint id) : id_(id) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() { g_source_remove(id_); }

 private:
  guint id_;
};

std::string text_of(const GstStructure* structure, const char* field) {
  const gchar* text = gst_structure_get_string(structure, field);
  return text != nullptr ? text : "";
}

}  // namespace

Run::Run(const Options& options, std::string role)
    : options_(options),
      pipeline_(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr)))),
      role_(std::move(role)),
      loop_(g_main_loop_new(nullptr, FALSE)) {}

Run::~Run() {
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  g_main_loop_unref(loop_);
}

Stream& Run::add(const std::string& name, GstElement* element, GstPad* pad) {
  const std::lock_guard lock(mutex_);
  Stream& stream = streams_.emplace_back(name, element, pad);
  stream.witness.on_first = [this] {
    if (!begun_.exchange(true)) before_ = usage_now();
  };
  return stream;
}

int Run::play() {
  const fabric::ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
  const Source messages(gst_bus_add_watch(
      bus.get(),
      [](GstBus*, GstMessage* message, gpointer self) -> gboolean {
        static_cast<Run*>(self)->on_message(message);
        return G_SOURCE_CONTINUE;
      },
      this));
  const auto interrupt = [](gpointer data) -> gboolean {
    auto& self = *static_cast<Run*>(data);
    if (self.interrupted_) {
      self.exit_code_ = 130;
      g_main_loop_quit(self.loop_);
    } else {
      self.interrupted_ = true;
      self.on_interrupt();
    }
    return G_SOURCE_CONTINUE;
  };
  const Source sigint(g_unix_signal_add(SIGINT, interrupt, this));
  const Source sigterm(g_unix_signal_add(SIGTERM, interrupt, this));
  const Source progress(g_timeout_add(
      kProgressInterval,
      [](gpointer self) -> gboolean {
        static_cast<Run*>(self)->show_progress();
        return G_SOURCE_CONTINUE;
      },
      this));

  // A failure to start is on the bus, with its reason.
  gst_element_set_state(pipeline_.get(), GST_STATE_PAUSED);
  g_main_loop_run(loop_);

  if (exit_code_ == 0) write_report();  // before the elements forget what they counted
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  return exit_code_;
}

void Run::start_playing() {
  if (playing_) return;
  playing_ = true;
  before_ = usage_now();
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
}

void Run::on_message(GstMessage* message) {
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ERROR:
    case GST_MESSAGE_WARNING: {
      const bool fatal = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR;
      GError* error = nullptr;
      gchar* debug = nullptr;
      (fatal ? gst_message_parse_error : gst_message_parse_warning)(message, &error, &debug);
      const fabric::ErrorPtr error_owner(error);
      const fabric::StringPtr debug_owner(debug);
      say(std::string(fatal ? "error: " : "warning: ") + GST_MESSAGE_SRC_NAME(message) + ": " +
          error->message);
      if (fatal) {
        exit_code_ = 1;
        g_main_loop_quit(loop_);
      }
      break;
    }
    case GST_MESSAGE_ELEMENT:
      if (gst_message_has_name(message, "fabric-peer")) on_peer(message);
      break;
    case GST_MESSAGE_STATE_CHANGED: {
      GstState now = GST_STATE_NULL;
      GstState pending = GST_STATE_NULL;
      gst_message_parse_state_changed(message, nullptr, &now, &pending);
      if (GST_MESSAGE_SRC(message) == GST_OBJECT(pipeline_.get()) && now == GST_STATE_PAUSED &&
          pending == GST_STATE_VOID_PENDING && !ready_) {
        ready_ = true;
        on_ready();
      }
      break;
    }
    case GST_MESSAGE_ASYNC_DONE:
      if (ready_) start_playing();  // after the seek of on_ready()
      break;
    case GST_MESSAGE_SEGMENT_DONE:
      if (!interrupted_) on_segment_done();
      break;
    case GST_MESSAGE_EOS:
      show_progress();
      if (line_open_) std::fputc('\n', stderr);
      line_open_ = false;
      g_main_loop_quit(loop_);
      break;
    default:
      break;
  }
}

void Run::on_peer(const GstMessage* message) {
  const GstStructure* peer = gst_message_get_structure(const_cast<GstMessage*>(message));
  const std::string state = text_of(peer, "state");
  const std::string provider = text_of(peer, "provider");
  const std::string reason = text_of(peer, "reason");
  const std::lock_guard lock(mutex_);
  for (Stream& stream : streams_) {
    if (GST_OBJECT(stream.element) != GST_MESSAGE_SRC(message)) continue;
    if (state == "connected") {
      stream.provider = provider;
      stream.reason = reason;
    }
    // The receiver says it for both: they sit side by side in the demo.
    if (!options_.progress) continue;
    say(stream.name + ": " + state + " " + text_of(peer, "peer") +
        (provider.empty() ? "" : " by " + provider) + (reason.empty() ? "" : ": " + reason));
  }
}

void Run::say(const std::string& line) {
  std::fprintf(stderr, "%s%s\n", line_open_ ? "\r\033[K" : "", line.c_str());
  line_open_ = false;
}

void Run::show_progress() {
  if (!options_.progress || !begun_) return;
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const gint64 now = g_get_monotonic_time();
  if (!terminal && now - last_progress_ < kProgressLineInterval) return;
  last_progress_ = now;
  std::string line;
  const std::lock_guard lock(mutex_);
  for (const Stream& stream : streams_) {
    const Witness::Totals totals = stream.witness.totals();
    const double megabytes = static_cast<double>(totals.bytes) / 1e6;
    const fabric::StringPtr part(
        g_strdup_printf("%s%s: %" G_GUINT64_FORMAT " buffers, %.1f MB, %.1f MB/s",
                        line.empty() ? "" : "  |  ", stream.name.c_str(), totals.buffers, megabytes,
                        totals.seconds > 0 ? megabytes / totals.seconds : 0.0));
    line += part.get();
  }
  std::fprintf(stderr, terminal ? "\r\033[K%s" : "%s\n", line.c_str());
  line_open_ = terminal;
}

void Run::write_report() {
  if (options_.report.empty()) return;
  const Usage after = usage_now();
  const std::unique_ptr<GKeyFile, fabric::Released<g_key_file_unref>> file(g_key_file_new());
  double checking = 0;
  const std::lock_guard lock(mutex_);
  for (const Stream& stream : streams_) {
    const char* group = stream.name.c_str();
    const Witness::Totals totals = stream.witness.totals();
    checking += totals.cpu_seconds;
    g_key_file_set_double(file.get(), group, "seconds", totals.seconds);
    g_key_file_set_string(file.get(), group, "caps", stream.witness.caps().c_str());
    g_key_file_set_string(file.get(), group, "provider", stream.provider.c_str());
    g_key_file_set_string(file.get(), group, "reason", stream.reason.c_str());
    GstStructure* structure = nullptr;
    g_object_get(stream.element, "stats", &structure, nullptr);
    const fabric::StructurePtr stats(structure);
    for (const char* field : {"grains", "bytes", "bytes-copied", "grains-foreign", "grains-dropped",
                              "grains-lost", "reconnects", "latency-p50", "latency-p99"}) {
      guint64 value = 0;
      gst_structure_get_uint64(stats.get(), field, &value);
      g_key_file_set_uint64(file.get(), group, field, value);
    }
    const std::string base = options_.report + "/" + role_ + "-" + stream.name;
    stream.witness.write(base + ".txt");
    if (role_ != "received" || stream.name != "video") continue;
    for (const bool last : {false, true}) {
      const std::string path = options_.report + (last ? "/last-frame.png" : "/first-frame.png");
      std::string why;
      if (!stream.witness.save_picture(last, path, why)) say("no " + path + ": " + why);
    }
  }
  g_key_file_set_double(file.get(), "cpu", "engine", after.engine - before_.engine);
  g_key_file_set_double(file.get(), "cpu", "process", after.process - before_.process - checking);
  g_key_file_set_double(file.get(), "cpu", "checking", checking);
  GError* error = nullptr;
  g_key_file_save_to_file(file.get(), (options_.report + "/" + role_ + ".ini").c_str(), &error);
  const fabric::ErrorPtr owner(error);
  if (error != nullptr) throw std::runtime_error(error->message);
}

}  // namespace play
