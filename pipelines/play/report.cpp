// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <glib.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <vector>

#include "gstptr.hpp"

namespace play {
namespace {

constexpr double kGigabyte = 1e9;

/// What one side wrote about itself (Run::write_report).
class Side {
 public:
  Side(const std::string& directory, const std::string& role) : file_(g_key_file_new()) {
    const std::string path = directory + "/" + role + ".ini";
    if (!g_key_file_load_from_file(file_.get(), path.c_str(), G_KEY_FILE_NONE, nullptr)) {
      throw std::runtime_error("There is no report " + path);
    }
  }
  [[nodiscard]] double number(const std::string& group, const char* key) const {
    return g_key_file_get_double(file_.get(), group.c_str(), key, nullptr);
  }
  [[nodiscard]] std::string text(const std::string& group, const char* key) const {
    const fabric::StringPtr value(g_key_file_get_string(file_.get(), group.c_str(), key, nullptr));
    return value ? value.get() : "";
  }
  [[nodiscard]] std::vector<std::string> streams() const {
    std::vector<std::string> names;
    const fabric::StringVectorPtr groups(g_key_file_get_groups(file_.get(), nullptr));
    for (gchar** group = groups.get(); *group != nullptr; ++group) {
      if (std::string(*group) != "cpu") names.emplace_back(*group);
    }
    return names;
  }

 private:
  std::unique_ptr<GKeyFile, fabric::Released<g_key_file_unref>> file_;
};

std::string format(const char* pattern, double value) {
  const fabric::StringPtr text(g_strdup_printf(pattern, value));
  return text.get();
}

void print_row(const std::string& title, const std::vector<std::string>& cells) {
  std::printf("  %-34s", title.c_str());
  for (const std::string& cell : cells) std::printf("%14s", cell.c_str());
  std::fputc('\n', stdout);
}

/// True if the files have the same lines; says where they part otherwise.
bool compare(const std::string& directory, const std::string& stream) {
  std::ifstream sent(directory + "/sent-" + stream + ".txt");
  std::ifstream received(directory + "/received-" + stream + ".txt");
  if (!sent || !received)
    throw std::runtime_error("The list of buffers of " + stream + " is missing");
  std::string ours;
  std::string theirs;
  std::size_t same = 0;
  for (;; ++same) {
    const bool more = static_cast<bool>(std::getline(sent, ours));
    const bool more_received = static_cast<bool>(std::getline(received, theirs));
    if (!more && !more_received) break;
    if (more && more_received && ours == theirs) continue;
    std::printf("FAIL  %s: after %zu equal buffers\n  sent      %s\n  received  %s\n",
                stream.c_str(), same, more ? ours.c_str() : "nothing more",
                more_received ? theirs.c_str() : "nothing more");
    return false;
  }
  if (same == 0) {
    std::printf("FAIL  %s: nothing was sent\n", stream.c_str());
    return false;
  }
  std::printf("OK    %s: all %zu buffers arrived in order, equal in every byte, PTS and duration\n",
              stream.c_str(), same);
  return true;
}

void print_table(const Side& sent, const Side& received, const std::vector<std::string>& streams) {
  const auto row = [&](const char* title,
                       const std::function<std::string(const std::string&)>& cell) {
    std::vector<std::string> cells;
    for (const std::string& stream : streams) cells.push_back(cell(stream));
    print_row(title, cells);
  };
  const auto count = [&](const char* title, const Side& side, const char* key) {
    row(title, [&](const std::string& stream) { return format("%.0f", side.number(stream, key)); });
  };
  const auto milliseconds = [&](const char* title, const char* key) {
    row(title, [&](const std::string& stream) {
      return format("%.2f ms", received.number(stream, key) / 1e6);
    });
  };
  double gigabytes = 0;
  for (const std::string& stream : streams) {
    gigabytes += received.number(stream, "bytes") / kGigabyte;
  }
  std::printf("\n");
  print_row("stream", streams);
  count("grains sent", sent, "grains");
  count("grains received", received, "grains");
  count("bytes received", received, "bytes");
  row("GB/s", [&](const std::string& stream) {
    const double seconds = received.number(stream, "seconds");
    return format("%.4f", seconds > 0 ? received.number(stream, "bytes") / kGigabyte / seconds : 0);
  });
  count("bytes copied, sender", sent, "bytes-copied");
  count("bytes copied, receiver", received, "bytes-copied");
  count("grains not from fabricsink's pool", sent, "grains-foreign");
  count("grains dropped, sender", sent, "grains-dropped");
  count("grains lost, sender", sent, "grains-lost");
  count("grains lost, receiver", received, "grains-lost");
  count("reconnects", sent, "reconnects");
  milliseconds("latency p50", "latency-p50");
  milliseconds("latency p99", "latency-p99");
  row("transport", [&](const std::string& stream) { return received.text(stream, "provider"); });
  for (const std::string& stream : streams) {
    std::printf("  why, %s: %s\n", stream.c_str(), received.text(stream, "reason").c_str());
  }
  std::printf("\n");
  print_row("CPU seconds per GB, all streams", {"sender", "receiver"});
  const auto cpu = [&](const char* title, const char* key) {
    const auto per_gigabyte = [&](const Side& side) {
      return format("%.3f", gigabytes > 0 ? side.number("cpu", key) / gigabytes : 0);
    };
    print_row(title, {per_gigabyte(sent), per_gigabyte(received)});
  };
  cpu("the engine's thread (1)", "engine");
  cpu("the whole process (2)", "process");
  cpu("the check of this demo (3)", "checking");
  std::printf(
      "  (1) moves the grains. (2) with it; at the sender with reading and decoding the file too.\n"
      "  (3) checksums on both sides, not in (2), and no part of the elements.\n"
      "  Latency: from fabricsink's render() to the receiver's having the grain. Real-time "
      "playing\n"
      "  leaves the machine idle between grains: wake-ups then weigh more per GB than with "
      "--fast.\n\n");
}

}  // namespace

bool report(const std::string& directory) {
  const Side sent(directory, "sent");
  const Side received(directory, "received");
  const std::vector<std::string> streams = sent.streams();
  if (streams.empty()) throw std::runtime_error("No stream was sent");
  print_table(sent, received, streams);
  bool same = true;
  for (const std::string& stream : streams) {
    same = compare(directory, stream) && same;
    const std::string caps = sent.text(stream, "caps");
    if (caps != received.text(stream, "caps")) {
      std::printf("FAIL  %s: caps differ\n  sent      %s\n  received  %s\n", stream.c_str(),
                  caps.c_str(), received.text(stream, "caps").c_str());
      same = false;
    }
  }
  return same;
}

}  // namespace play
