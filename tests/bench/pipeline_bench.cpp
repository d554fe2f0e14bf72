// SPDX-License-Identifier: Apache-2.0
#include <gst/gst.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "ends_source.hpp"

/// One side of a stream from pipeline to pipeline.
///
///     pipeline_bench send LAUNCH-LINE                    runs until it is killed
///     pipeline_bench receive SENDER-PID SECONDS LAUNCH-LINE
///
/// LAUNCH-LINE as gst-launch-1.0 has it, with `endssrc` at the sender's side; the receiver's ends
/// in a sink with the name "sink", whose buffers are counted for SECONDS from the 20th on. The
/// result is JSON: grains, seconds, CPU seconds of both processes in that time, quantiles of the
/// time from the making of a buffer to its arrival, and what was wrong with them.
namespace {

constexpr std::uint64_t kWarmUp = 20;

double cpu_of(pid_t process) {
  clockid_t clock{};
  timespec spent{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &spent) != 0) return 0;
  return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e9;
}

struct Measured {
  std::atomic<std::uint64_t> arrived{0};
  std::atomic<bool> on{false};
  std::atomic<bool> over{false};
  // Streaming thread while it is on.
  std::uint64_t counted = 0;
  std::uint64_t last = 0;
  std::uint64_t missing = 0;
  std::uint64_t torn = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::vector<std::uint64_t> latencies;
};

GstPadProbeReturn on_buffer(GstPad*, GstPadProbeInfo* info, gpointer user) {
  auto* measured = static_cast<Measured*>(user);
  const std::uint64_t now = monotonic_nanoseconds();
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  GstMapInfo map;
  if (measured->over || gst_buffer_map(buffer, &map, GST_MAP_READ) == FALSE)
    return GST_PAD_PROBE_OK;
  EndsMark first{};
  EndsMark second{};
  std::memcpy(&first, map.data, sizeof first);
  std::memcpy(&second, map.data + map.size - sizeof second, sizeof second);
  gst_buffer_unmap(buffer, &map);
  if (measured->on) {
    if (measured->begin == 0) {
      measured->begin = now;
    } else {
      ++measured->counted;
      measured->missing += first.number - measured->last - 1;
      measured->latencies.push_back(now - first.made_at);
    }
    measured->torn += first.number != second.number ? 1 : 0;
    measured->end = now;
  }
  measured->last = first.number;
  ++measured->arrived;
  return GST_PAD_PROBE_OK;
}

double quantile(const std::vector<std::uint64_t>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1));
  return static_cast<double>(sorted[index]) / 1e3;
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

int receive(GstElement* pipeline, pid_t sender, double seconds) {
  GstElement* sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
  if (sink == nullptr) {
    std::fprintf(stderr, "pipeline_bench: no element has the name sink\n");
    return 2;
  }
  Measured measured;
  measured.latencies.reserve(1U << 22U);
  GstPad* pad = gst_element_get_static_pad(sink, "sink");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, &measured, nullptr);
  gst_object_unref(pad);
  gst_object_unref(sink);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (measured.arrived < kWarmUp) {
    if (failed(pipeline, 10 * GST_MSECOND)) return 1;
    if (std::chrono::steady_clock::now() > give_up) {
      std::fprintf(stderr, "pipeline_bench: nothing arrives\n");
      return 1;
    }
  }
  const double sender_before = cpu_of(sender);
  const double own_before = cpu_of(0);
  measured.on = true;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  measured.over = true;
  const double sender_cpu = cpu_of(sender) - sender_before;
  const double own_cpu = cpu_of(0) - own_before;
  if (failed(pipeline, 0)) return 1;
  gst_element_set_state(pipeline, GST_STATE_NULL);
  std::sort(measured.latencies.begin(), measured.latencies.end());
  const double time = static_cast<double>(measured.end - measured.begin) / 1e9;
  std::printf(
      "{\"grains\": %llu, \"seconds\": %.6f, \"grains-per-second\": %.1f, \"sender-cpu\": %.4f, "
      "\"receiver-cpu\": %.4f, \"latency-us\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, "
      "\"max\": %.1f}, \"missing\": %llu, \"torn\": %llu}\n",
      static_cast<unsigned long long>(measured.counted), time,
      static_cast<double>(measured.counted) / time, sender_cpu, own_cpu,
      quantile(measured.latencies, 0.5), quantile(measured.latencies, 0.99),
      quantile(measured.latencies, 0.999), quantile(measured.latencies, 1),
      static_cast<unsigned long long>(measured.missing),
      static_cast<unsigned long long>(measured.torn));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  const std::string role = argc > 1 ? argv[1] : "";
  const bool sends = role == "send" && argc == 3;
  if ((!sends && (role != "receive" || argc != 5)) || !register_ends_source()) {
    std::fprintf(stderr, "usage: pipeline_bench send LINE | receive SENDER-PID SECONDS LINE\n");
    return 2;
  }
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(argv[argc - 1], &error);
  if (error != nullptr) {
    std::fprintf(stderr, "pipeline_bench: %s\n", error->message);
    return 2;
  }
  int code = 0;
  if (sends) {
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    code = failed(pipeline, GST_CLOCK_TIME_NONE) ? 1 : 0;
  } else {
    code = receive(pipeline, std::atoi(argv[2]), std::atof(argv[3]));
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
  return code;
}
