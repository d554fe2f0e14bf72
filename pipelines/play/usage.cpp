// SPDX-License-Identifier: Apache-2.0
#include "usage.hpp"

#include <time.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace play {
namespace {

double clock_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

double thread_cpu_seconds() {
  return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

Usage usage_now() {
  Usage usage;
  usage.process = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
  std::error_code ignored;  // a thread may end while we look
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name != "grainfabric") continue;  // so the engine names its thread
    double nanoseconds = 0;
    std::ifstream(task.path() / "schedstat") >> nanoseconds;
    usage.engine += nanoseconds / 1e9;
  }
  return usage;
}

}  // namespace play
