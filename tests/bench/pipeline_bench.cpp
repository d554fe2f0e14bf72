// SPDX-License-Identifier: Apache-2.0
#include <gst/gst.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <string>
#include <thread>

#include "arrivals.hpp"
#include "ends_source.hpp"

/// One side of streams from pipeline to pipeline, each call one line of output after the other.
///
///     pipeline_bench send LAUNCH-LINE             runs until it is killed
///     pipeline_bench receive SECONDS LAUNCH-LINE  says "playing", then "warm" when 20 buffers of
///                                                 each stream are there; with the sender's process
///                                                 id on its input it counts for SECONDS (or until
///                                                 there are a few), and runs until it is killed
///     pipeline_bench first LAUNCH-LINE            times of PLAYING and of the first buffer
///                                                 (CLOCK_MONOTONIC, s), then runs until it is
///                                                 killed
///     pipeline_bench idle SECONDS LAUNCH-LINE     CPU seconds, from a second after PLAYING on
///
/// LAUNCH-LINE as gst-launch-1.0 has it, with `endssrc` at the sender's side; the receiver's
/// streams end in sinks with the names "sink", "sink1", … What `receive` says is JSON, over all
/// streams: buffers, seconds, CPU seconds of both processes in that time, percentiles of the time
/// from the making of a buffer to its arrival, and what was wrong with them.
namespace {

/// What the pipeline's sinks get.
struct Streams {
  Latencies latencies;
  std::deque<Arrivals> each;  // stay where they are
};

constexpr std::uint64_t kWarmUp = 20;
constexpr std::uint64_t kFewest = 5;
constexpr auto kPatience = std::chrono::seconds(30);

double cpu_of(pid_t process) {
  clockid_t clock{};
  timespec spent{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &spent) != 0) return 0;
  return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e9;
}

void say(const char* word) {
  std::puts(word);
  std::fflush(stdout);
}

/// What the bus says of failures.
bool failed(GstElement* pipeline, GstClockTime wait) {
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* message = gst_bus_timed_pop_filtered(
      bus, wait, static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
  gst_object_unref(bus);
  if (message == nullptr) return false;
  GError* error = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error(message, &error, nullptr);
  }
  std::fprintf(stderr, "pipeline_bench: %s\n", error != nullptr ? error->message : "ended early");
  g_clear_error(&error);
  gst_message_unref(message);
  return true;
}

bool listen_at_sinks(GstElement* pipeline, Streams& streams) {
  for (;;) {
    const std::string name =
        "sink" + (streams.each.empty() ? "" : std::to_string(streams.each.size()));
    GstElement* sink = gst_bin_get_by_name(GST_BIN(pipeline), name.c_str());
    if (sink == nullptr) break;
    streams.each.emplace_back(sink, streams.latencies);
    gst_object_unref(sink);
  }
  if (streams.each.empty()) std::fprintf(stderr, "pipeline_bench: no element has the name sink\n");
  return !streams.each.empty();
}

/// Until each stream has had `count` buffers.
bool wait_for(GstElement* pipeline, const Streams& streams, std::uint64_t count) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  const auto waits = [count](const Arrivals& stream) { return stream.arrived() < count; };
  while (std::any_of(streams.each.begin(), streams.each.end(), waits)) {
    if (failed(pipeline, GST_MSECOND)) return false;
    if (std::chrono::steady_clock::now() > give_up) {
      std::fprintf(stderr, "pipeline_bench: nothing arrives\n");
      return false;
    }
  }
  return true;
}

/// HDR-style: what share of all buffers was there within so many microseconds.
void print_distribution(const grainfabric::Histogram& latencies) {
  std::printf("\"distribution\": [");
  double rest = 1;  // the share above
  for (int step = 0; rest * static_cast<double>(latencies.total()) >= 0.5; ++step) {
    std::printf("%s[%.6f, %.2f]", step == 0 ? "" : ", ", 1 - rest,
                static_cast<double>(latencies.quantile(1 - rest)) / 1e3);
    rest /= 1.3;
  }
  std::printf("]");
}

struct Spent {
  double seconds;
  double sender_cpu, own_cpu;
};

void print_result(Streams& streams, const Spent& spent) {
  const std::scoped_lock lock(streams.latencies.mutex);
  std::uint64_t counted = 0, fewest = UINT64_MAX, missing = 0, torn = 0, late = 0;
  double seconds = 0;
  for (const Arrivals& stream : streams.each) {
    counted += stream.counted();
    fewest = std::min(fewest, stream.counted());
    missing += stream.missing();
    torn += stream.torn();
    late += stream.late();
    seconds = std::max(seconds, stream.seconds());
  }
  const grainfabric::Histogram& histogram = streams.latencies.histogram;
  const std::uint64_t longest = streams.latencies.longest;
  const auto count = [](const char* name, std::uint64_t value) {
    std::printf("\"%s\": %llu, ", name, static_cast<unsigned long long>(value));
  };
  const auto latency = [&](double share) {
    return static_cast<double>(std::min(histogram.quantile(share), longest)) / 1e3;
  };
  std::printf("{");
  count("streams", streams.each.size());
  count("grains", counted);
  count("fewest-grains", fewest);
  count("missing", missing);
  count("torn", torn);
  count("late", late);
  std::printf(
      "\"seconds\": %.6f, \"grains-per-second\": %.1f, \"window\": %.6f, \"sender-cpu\": %.4f, "
      "\"receiver-cpu\": %.4f, ",
      seconds, seconds > 0 ? static_cast<double>(counted) / seconds : 0, spent.seconds,
      spent.sender_cpu, spent.own_cpu);
  std::printf("\"latency-us\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}, ",
              latency(0.5), latency(0.99), latency(0.999), static_cast<double>(longest) / 1e3);
  print_distribution(histogram);
  say("}");
}

/// The sender's process id, once all else is ready.
pid_t read_sender() {
  int sender = 0;
  return std::scanf("%d", &sender) == 1 ? sender : 0;
}

int receive(GstElement* pipeline, double seconds) {
  Streams streams;
  if (!listen_at_sinks(pipeline, streams)) return 2;
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  say("playing");
  if (!wait_for(pipeline, streams, kWarmUp)) return 1;
  say("warm");
  const pid_t sender = read_sender();
  if (sender <= 0) return 1;
  const std::uint64_t begun = monotonic_nanoseconds();
  const double sender_before = cpu_of(sender);
  const double own_before = cpu_of(0);
  for (Arrivals& stream : streams.each) stream.begin();
  const std::uint64_t arrived = streams.each.front().arrived();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  if (!wait_for(pipeline, streams, arrived + kFewest)) return 1;
  for (Arrivals& stream : streams.each) stream.end();
  print_result(streams, {static_cast<double>(monotonic_nanoseconds() - begun) / 1e9,
                         cpu_of(sender) - sender_before, cpu_of(0) - own_before});
  return failed(pipeline, GST_CLOCK_TIME_NONE) ? 1 : 0;
}

int first(GstElement* pipeline) {
  Streams streams;
  if (!listen_at_sinks(pipeline, streams)) return 2;
  const std::uint64_t playing = monotonic_nanoseconds();
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  say("playing");
  if (!wait_for(pipeline, streams, 1)) return 1;
  std::printf("{\"playing\": %.9f, \"first\": %.9f}\n", static_cast<double>(playing) / 1e9,
              static_cast<double>(streams.each.front().first_at()) / 1e9);
  std::fflush(stdout);
  return failed(pipeline, GST_CLOCK_TIME_NONE) ? 1 : 0;
}

int idle(GstElement* pipeline, double seconds) {
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  if (failed(pipeline, GST_SECOND)) return 1;
  const double before = cpu_of(0);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  std::printf("{\"seconds\": %.3f, \"cpu\": %.6f}\n", seconds, cpu_of(0) - before);
  return failed(pipeline, 0) ? 1 : 0;
}

int send(GstElement* pipeline) {
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  return failed(pipeline, GST_CLOCK_TIME_NONE) ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  const std::string role = argc > 1 ? argv[1] : "";
  const bool timed = role == "receive" || role == "idle";
  const bool known = timed || role == "send" || role == "first";
  if (!known || argc != (timed ? 4 : 3) || !register_ends_source()) {
    std::fprintf(stderr,
                 "usage: pipeline_bench send LINE | receive SECONDS LINE | first LINE | idle "
                 "SECONDS LINE\n");
    return 2;
  }
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(argv[argc - 1], &error);
  if (error != nullptr) {
    std::fprintf(stderr, "pipeline_bench: %s\n", error->message);
    return 2;
  }
  const double seconds = timed ? std::atof(argv[2]) : 0;
  const int code = role == "receive" ? receive(pipeline, seconds)
                   : role == "first" ? first(pipeline)
                   : role == "idle"  ? idle(pipeline, seconds)
                                     : send(pipeline);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
  return code;
}
