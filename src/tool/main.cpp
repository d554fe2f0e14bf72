// SPDX-License-Identifier: Apache-2.0

/// The program `grainfabric`: what this host can do, and how fast.

#include <glib.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "tool/bench/command.hpp"
#include "tool/command.hpp"
#include "tool/info/command.hpp"
#include "tool/text.hpp"

namespace {

using namespace grainfabric::tool;

constexpr int kWrongUse = 2;

constexpr const char* kCommands =
    "Commands (each has a --help of its own):\n"
    "  info                 what the transports of this host can do, and what is missing\n"
    "  bench server         answers benchmark clients\n"
    "  bench client HOST    measures writes, reads and messages to a bench server";

int run(std::vector<std::string> arguments) {
  const std::string name = arguments.empty() ? "" : arguments.front();
  if (name == "info" || name == "bench") {
    arguments.erase(arguments.begin());
    return name == "info" ? info(std::move(arguments)) : bench(std::move(arguments));
  }
  bool version = false;
  Command command("COMMAND", "Looks into the transports of grainfabric.", kCommands);
  command.add("version", version, "Say the version");
  const std::vector<std::string> rest = command.parse(std::move(arguments));
  if (version) {
    print_line(stdout, software());
    return EXIT_SUCCESS;
  }
  throw UsageError(rest.empty() ? "No command: info or bench"
                                : "There is no command \"" + rest.front() + "\"");
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");  // GOption's help is not ASCII
  g_set_prgname("grainfabric");
  try {
    return run({argv + 1, argv + argc});
  } catch (const UsageError& error) {
    std::fprintf(stderr, "grainfabric: %s. See --help.\n", error.what());
    return kWrongUse;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "grainfabric: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
