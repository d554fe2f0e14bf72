// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/report.hpp"

#include <unistd.h>

#include <cstdio>

#include "tool/json.hpp"
#include "tool/text.hpp"

namespace grainfabric::tool {
namespace {

constexpr double kGigabyte = 1e9;

/// The numbers of a row, in the units that people and JSON get.
struct Figures {
  explicit Figures(const Outcome& outcome)
      : bytes(outcome.here.messages * outcome.load.size),
        seconds(static_cast<double>(outcome.here.nanoseconds) / 1e9) {
    const double gigabytes = static_cast<double>(bytes) / kGigabyte;
    if (seconds > 0) {
      gigabytes_per_second = gigabytes / seconds;
      messages_per_second = static_cast<double>(outcome.here.messages) / seconds;
    }
    if (gigabytes > 0) {
      client_cpu = static_cast<double>(outcome.here.cpu_nanoseconds) / 1e9 / gigabytes;
      server_cpu = static_cast<double>(outcome.there.cpu_nanoseconds) / 1e9 / gigabytes;
    }
  }
  std::uint64_t bytes;
  double seconds;
  double gigabytes_per_second = 0;
  double messages_per_second = 0;
  double client_cpu = 0;  // seconds a gigabyte
  double server_cpu = 0;
};

struct Quantile {
  const char* name;
  double share;
};
constexpr Quantile kQuantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};

}  // namespace

Report::Report(bool json, bool quiet)
    : json_(json), shows_progress_(!quiet && ::isatty(STDERR_FILENO) == 1) {}

void Report::on_welcome(const std::string& peer, const Welcome& welcome) {
  peer_ = peer;
  welcome_ = welcome;
  if (json_) return;
  print_line(stdout, welcome.provider + " to " + welcome.host + " (" + peer + ", " +
                         welcome.software + "): " + welcome.reason);
  print_line(stdout, format("%-6s%10s%6s%9s%9s%10s%10s%10s%10s%10s%13s%13s%10s", "", "size",
                            "depth", "messages", "GB/s", "msg/s", "p50 us", "p99 us", "p99.9 us",
                            "max us", "client s/GB", "server s/GB", "verified"));
}

void Report::on_progress(const LoadOptions& load, const Measured& so_far) {
  if (!shows_progress_) return;
  std::fprintf(stderr, "\r\033[K%s %s: %llu messages", to_string(load.operation),
               size_text(load.size).c_str(), static_cast<unsigned long long>(so_far.messages));
  progress_shown_ = true;
}

void Report::clear_progress() {
  if (progress_shown_) std::fputs("\r\033[K", stderr);
  progress_shown_ = false;
}

void Report::on_outcome(const Outcome& outcome) {
  clear_progress();
  outcomes_.push_back(outcome);
  if (!json_) print_row(outcome);
}

void Report::print_row(const Outcome& outcome) {
  const Figures figures(outcome);
  std::string line = format("%-6s%10s%6llu%9llu%9.3f%10.0f", to_string(outcome.load.operation),
                            size_text(outcome.load.size).c_str(),
                            static_cast<unsigned long long>(outcome.load.depth),
                            static_cast<unsigned long long>(outcome.here.messages),
                            figures.gigabytes_per_second, figures.messages_per_second);
  for (const Quantile& quantile : kQuantiles) {
    line +=
        format("%10.1f", static_cast<double>(outcome.here.latency.quantile(quantile.share)) / 1e3);
  }
  line += format("%13.3f%13.3f%10s", figures.client_cpu, figures.server_cpu,
                 outcome.load.verify ? "yes" : "no");
  print_line(stdout, line);
}

void Report::finish(const std::string& error) {
  clear_progress();
  if (!json_) return;
  Json json;
  json.object([&] {
    json.add("software", software());
    json.add("peer", peer_);
    json.add("peer-host", welcome_.host);
    json.add("peer-software", welcome_.software);
    json.add("provider", welcome_.provider);
    json.add("provider-reason", welcome_.reason);
    if (!error.empty()) json.add("error", error);
    json.array("results", outcomes_, [&](const Outcome& outcome) {
      const Figures figures(outcome);
      json.object([&] {
        json.add("operation", std::string(to_string(outcome.load.operation)));
        json.add("size", outcome.load.size);
        json.add("depth", outcome.load.depth);
        json.add("piece-size", outcome.load.piece_size);
        json.add("messages", outcome.here.messages);
        json.add("bytes", figures.bytes);
        json.add("seconds", figures.seconds);
        json.add("gigabytes-per-second", figures.gigabytes_per_second);
        json.add("messages-per-second", figures.messages_per_second);
        json.object("latency-nanoseconds", [&] {
          for (const Quantile& quantile : kQuantiles) {
            json.add(quantile.name, outcome.here.latency.quantile(quantile.share));
          }
        });
        json.object("cpu-seconds-per-gigabyte", [&] {
          json.add("client", figures.client_cpu);
          json.add("server", figures.server_cpu);
        });
        json.add("verified", outcome.here.verified + outcome.there.verified);
      });
    });
  });
  print_line(stdout, json.text());
}

}  // namespace grainfabric::tool
