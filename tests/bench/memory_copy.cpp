// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <system_error>

/// What this machine's memcpy makes of grains, one thread, from a ring to a ring of eight: no
/// transport that copies can be quicker.
///
///     memory_copy GRAIN SECONDS    GRAIN: bytes. Prints the result as JSON
namespace {

constexpr std::size_t kSlots = 8;

double seconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::byte* make_ring(std::size_t grain) {
  void* memory =
      ::mmap(nullptr, kSlots * grain, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  std::memset(memory, 1, kSlots * grain);
  return static_cast<std::byte*>(memory);
}

}  // namespace

int main(int count, char** words) try {
  if (count != 3) {
    std::fputs("usage: memory_copy GRAIN SECONDS\n", stderr);
    return 2;
  }
  const std::size_t grain = std::stoul(words[1]);
  const double duration = std::stod(words[2]);
  const std::byte* from = make_ring(grain);
  std::byte* to = make_ring(grain);
  // The clock costs as much as a small grain.
  const std::size_t batch = std::max<std::size_t>(1, (std::size_t{1} << 20U) / grain);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  const double begun_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  double spent = 0;
  std::size_t copied = 0;
  while (spent < duration) {
    for (std::size_t i = 0; i < batch; ++i, ++copied) {
      const std::size_t at = copied % kSlots * grain;
      std::memcpy(to + at, from + at, grain);
      asm volatile("" : : "r"(to) : "memory");  // what nobody reads is copied all the same
    }
    spent = seconds_of(CLOCK_MONOTONIC) - begun;
  }
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begun_cpu;
  const double gigabytes = static_cast<double>(copied) * static_cast<double>(grain) / 1e9;
  std::printf(
      "{\"gigabytes-per-second\": %.4f, \"cpu-seconds-per-gigabyte\": "
      "{\"client\": %.4f, \"server\": 0}}\n",
      gigabytes / spent, cpu / gigabytes);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "memory_copy: %s\n", error.what());
  return 1;
}
