// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>

#include "raw.hpp"

/// What this machine's memcpy makes of grains, one thread, from a ring to a ring of eight: no
/// transport that copies can be quicker.
///
///     memory_copy GRAIN SECONDS    GRAIN: bytes. Prints the result as JSON
namespace {

using bench::kSlots, bench::make_ring, bench::seconds_of;

}  // namespace

int main(int count, char** words) try {
  if (count != 3) {
    std::fputs("usage: memory_copy GRAIN SECONDS\n", stderr);
    return 2;
  }
  const std::size_t grain = std::stoul(words[1]);
  const double duration = std::stod(words[2]);
  const std::byte* from = make_ring(kSlots * grain).data();
  std::byte* to = make_ring(kSlots * grain).data();
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
