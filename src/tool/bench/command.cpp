// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/command.hpp"

#include <map>

#include "tool/bench/client.hpp"
#include "tool/bench/limits.hpp"
#include "tool/bench/server.hpp"
#include "tool/command.hpp"
#include "tool/text.hpp"

namespace grainfabric::tool {
namespace {

constexpr const char* kProviderHelp =
    "Transport: auto (default), or a name that `grainfabric info` lists";
constexpr const char* kPortHelp = "TCP port of the control channel (20886)";
constexpr const char* kInterfaceHelp =
    "Network interface or local address for the data (that of the control channel)";

/// How this side waits: as the elements' properties of the same names.
void add_waiting(Command& command, Polling& polling, std::string& cpus) {
  command.add(
      "polling",
      [&polling](const std::string& name) {
        static const std::map<std::string, Polling> kNames = {
            {"event", Polling::event}, {"adaptive", Polling::adaptive}, {"busy", Polling::busy}};
        const auto found = kNames.find(name);
        if (found == kNames.end()) {
          throw UsageError("no polling \"" + name + "\": event, adaptive or busy");
        }
        polling = found->second;
      },
      "How this side waits: event (default), adaptive or busy", "NAME");
  command.add("cpus", cpus, "CPUs that this side's thread may run on: 2 or 0-3,8 (any)", "LIST");
}

int bench_server(const std::vector<std::string>& arguments) {
  ServerOptions options;
  std::uint64_t port = options.port;
  Command command("bench server",
                  "Answers benchmark clients, one after another, until SIGINT or SIGTERM.", "");
  command.add("address", options.address, "Interface or address to listen on (all)", "ADDRESS");
  command.add("port", port, 0, UINT16_MAX, kPortHelp, "PORT");
  command.add("provider", options.provider, kProviderHelp, "NAME");
  command.add("interface", options.interface, kInterfaceHelp, "NAME");
  add_waiting(command, options.polling, options.cpus);
  command.add("quiet", options.quiet, "Say only the port");
  if (!command.parse(arguments).empty()) {
    throw UsageError("bench server takes options only");
  }
  options.port = static_cast<std::uint16_t>(port);
  return run_server(options);
}

int bench_client(const std::vector<std::string>& arguments) {
  ClientOptions options;
  LoadOptions load;
  std::vector<std::uint64_t> sizes;
  std::uint64_t port = options.port;
  double seconds = 1;
  Command command(
      "bench client HOST",
      "Measures a transport between this host and one where `grainfabric bench server` runs.",
      "For each size: messages are kept in flight (--depth), written with immediate data at the\n"
      "end, read, or sent. A written or sent message is done when the server has acknowledged it\n"
      "by a write of its own, as a fabricsrc gives credits; a read when the bytes are here. Some\n"
      "messages before the clock starts warm up both sides.\n"
      "\n"
      "Columns: GB/s (1e9 bytes), messages a second, latency from posting to done (p50, p99,\n"
      "p99.9, max; right to 3.2 %, and with the time in the queue where depth is above 1), and\n"
      "CPU seconds that either process needs for a GB. Filling and comparing memory for --verify\n"
      "is not in the CPU time, but in all other numbers.\n"
      "\n"
      "Exit code: 0 all done (and all bytes right), 1 failure, 2 wrong usage.");
  command.add("port", port, 1, UINT16_MAX, kPortHelp, "PORT");
  command.add("provider", options.conversation.provider, kProviderHelp, "NAME");
  command.add("interface", options.conversation.interface, kInterfaceHelp, "NAME");
  command.add(
      "operation",
      [&](const std::string& name) {
        try {
          load.operation = operation_from_string(name);
        } catch (const Error& error) {
          throw UsageError(error.failure() + ": write, read or send");
        }
      },
      "write (default), read or send", "NAME");
  command.add(
      "sizes", [&](const std::string& text) { sizes = parse_sizes(text); },
      "Bytes of a message: 4k,64k,1m,5529600 (default; send: 64,1k,4k)", "LIST");
  command.add("iterations", load.iterations, 1, UINT32_MAX, "Messages of each size", "N");
  command.add("seconds", seconds, "Or: for so long (1)", "S");
  command.add("depth", load.depth, 1, kMaxDepth,
              "Messages in flight (16; of large ones what fits 64 MiB)", "N");
  command.add(
      "piece-size", [&](const std::string& text) { load.piece_size = parse_size(text); },
      "Longest single write or read (512k)", "SIZE");
  command.add("verify", load.verify, "Compare all bytes at the far side; for reads, here");
  add_waiting(command, load.polling, options.cpus);
  command.add("json", options.json, "The results as JSON");
  command.add("quiet", options.quiet, "No progress on the terminal");
  const std::vector<std::string> rest = command.parse(arguments);
  if (rest.size() != 1) throw UsageError("bench client takes one HOST");
  options.host = rest.front();
  options.port = static_cast<std::uint16_t>(port);
  load.duration = std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
  if (sizes.empty()) {
    sizes = parse_sizes(load.operation == Operation::send ? "64,1k,4k" : "4k,64k,1m,5529600");
  }
  for (const std::uint64_t size : sizes) {
    load.size = size;
    options.conversation.rounds.push_back(load);
  }
  return run_client(options);
}

}  // namespace

int bench(std::vector<std::string> arguments) {
  const std::string role = arguments.empty() ? "" : arguments.front();
  if (role != "server" && role != "client") {
    Command("bench server|client", "Measures a transport between two hosts.",
            "Each side has a --help of its own. Start the server first.")
        .parse(std::move(arguments));  // --help
    throw UsageError("bench needs a role: `bench server` or `bench client HOST`");
  }
  arguments.erase(arguments.begin());
  return role == "server" ? bench_server(arguments) : bench_client(arguments);
}

}  // namespace grainfabric::tool
