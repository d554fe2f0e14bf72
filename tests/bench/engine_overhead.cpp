// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <string>
#include <thread>

#include "session/initiator.hpp"
#include "session/target.hpp"

/// A paced stream of 1080p v210 over the provider "null": one grain at a time, each with pauses in
/// which every thread falls asleep, as at 60 a second.
///
///     engine_overhead GRAINS
///
/// Prints how often memory was allocated a grain, in the quietest of some stretches (a heartbeat
/// allocates). The main thread pushes, the second is the loop of the initiator, the third that of
/// the target, the fourth pops: callgrind says how much each does.
namespace {

std::atomic<std::uint64_t> allocations{0};

}  // namespace

extern "C" {
// glibc's own, which it exports for this purpose.
void* __libc_malloc(std::size_t size);                     // NOLINT
void* __libc_calloc(std::size_t count, std::size_t size);  // NOLINT
void* __libc_realloc(void* memory, std::size_t size);      // NOLINT

void* malloc(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, size);
}
}

namespace {

using namespace grainfabric;
using namespace std::chrono_literals;

constexpr std::size_t kGrain = 5'529'600;
constexpr int kWarmUp = 50;
constexpr int kStretch = 20;

struct Events final : InitiatorEvents, TargetEvents {
  void on_peer(const PeerChange&) override {}
  void on_upstream(const StreamEvent&) override {}
  void on_failed(const Error& error) override {
    std::fprintf(stderr, "engine_overhead: %s\n", error.what());
    std::_Exit(1);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int grains = argc == 2 ? std::atoi(argv[1]) : 0;
  if (grains < kStretch) {
    std::fprintf(stderr, "usage: engine_overhead GRAINS (%d and more)\n", kStretch);
    return 2;
  }
  Events events;
  const auto initiator_loop = std::make_shared<EventLoop>();
  const auto target_loop = std::make_shared<EventLoop>();
  TargetOptions receiving;
  receiving.address = "127.0.0.1";
  receiving.port = 0;
  receiving.provider = "null";
  Target target(receiving, events, target_loop);
  target.start();
  InitiatorOptions sending;
  sending.host = "127.0.0.1";
  sending.port = target.port();
  sending.provider = "null";
  Initiator initiator(sending, events, initiator_loop);

  std::counting_semaphore<> done(0);
  std::atomic<bool> over{false};
  std::thread popping([&] {
    while (!over) {
      if (target.pop(100ms)) done.release();
    }
  });
  initiator.start();
  const auto region = Region::create(kGrain, "overhead");
  const PayloadPart part{region->bytes(), region};
  OutgoingGrain grain;
  grain.payload = {&part, 1};
  std::uint64_t before = 0;
  std::uint64_t fewest = UINT64_MAX;
  for (int i = 0; i < kWarmUp + grains; ++i) {
    if (i >= kWarmUp && (i - kWarmUp) % kStretch == 0) {
      if (i > kWarmUp) fewest = std::min(fewest, allocations - before);
      before = allocations;
    }
    if (initiator.push(grain, {}) != Initiator::PushResult::accepted) return 1;
    if (!done.try_acquire_for(10s)) {
      std::fprintf(stderr, "engine_overhead: nothing arrives\n");
      return 1;
    }
    std::this_thread::sleep_for(1ms);
  }
  fewest = std::min(fewest, allocations - before);
  over = true;
  popping.join();
  std::printf("{\"grains\": %d, \"allocations-per-grain\": %.3f}\n", grains,
              static_cast<double>(fewest) / kStretch);
  return 0;
}
