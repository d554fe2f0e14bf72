// SPDX-License-Identifier: Apache-2.0
// What a stream takes of this host's memory: its ring, and little more, however long it goes on.
#include <malloc.h>

#include <fstream>

#include "memory/slot.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

constexpr std::size_t kMebibyte = std::size_t{1} << 20U;

/// Bytes of memory that this process has in use.
std::size_t resident() {
  ::malloc_trim(0);  // what was freed is not in use
  std::ifstream status("/proc/self/statm");
  std::size_t pages = 0;
  status >> pages >> pages;
  return pages * kPageSize;
}

class SessionMemory : public OverProviders {
 protected:
  void SetUp() override {
    OverProviders::SetUp();
    if (kSlowdown > 1) GTEST_SKIP() << "sanitizers keep what was freed";
  }
  /// Pushes and pops so many grains of this size.
  void stream(Sender& sender, Receiver& receiver, int count, std::size_t size) {
    const int before = lent_.released;
    std::thread pusher([&] {
      for (int i = 0; i < count; ++i) ASSERT_EQ(lent_.push(sender, 0, size), PushResult::accepted);
    });
    for (int i = 0; i < count; ++i) ASSERT_TRUE(receiver.pop_grain());
    pusher.join();
    EXPECT_TRUE(eventually([&] { return lent_.released == before + count; }));
  }
  Lent lent_;
};
// Not shm and rxm: libfabric's buffers for them take 12 MB and 200 MB by themselves.
INSTANTIATE_TEST_SUITE_P(Over, SessionMemory, testing::Values("tcp", "udp", "local"),
                         provider_name);

TEST_P(SessionMemory, a_million_small_grains_take_no_more_than_a_few) {
  // A million takes half a minute where the kernel sees each of them; it was tried.
  const int many = GetParam() == std::string("local") ? 1'000'000 : 200'000;
  Receiver receiver(with_provider(GetParam()), std::make_shared<EventLoop>());
  Sender sender(to(receiver, GetParam()));
  sender->start();
  stream(sender, receiver, 10'000, 64);
  const std::size_t before = resident();
  stream(sender, receiver, many, 64);
  EXPECT_LT(resident(), before + kMebibyte);
}

TEST_P(SessionMemory, a_stream_takes_its_ring_and_eight_mebibytes) {
  constexpr std::size_t kSize = 5'529'600;  // 1080p v210
  lent_.region = Region::create(kSize, "lent");
  std::fill_n(lent_.region->data(), kSize, std::byte{1});
  {
    // What is there once for all streams, libraries above all.
    Receiver receiver(with_provider(GetParam()), std::make_shared<EventLoop>());
    Sender sender(to(receiver, GetParam()));
    sender->start();
    stream(sender, receiver, 10, 64);
  }
  const std::size_t before = resident();
  Receiver receiver(with_provider(GetParam()), std::make_shared<EventLoop>());
  Sender sender(to(receiver, GetParam()));
  sender->start();
  stream(sender, receiver, 100, kSize);
  const std::size_t ring = receiver->stats().slots * slot_stride(kSize);
  EXPECT_LT(resident(), before + ring + 8 * kMebibyte);
}

}  // namespace
}  // namespace grainfabric
