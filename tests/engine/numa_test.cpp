// SPDX-License-Identifier: Apache-2.0
// On a host with two NUMA nodes (../vm/numa.sh): FABRIC_TEST_FAR is an interface at node 1, with
// the address FABRIC_TEST_FAR_ADDRESS.
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/cpus.hpp"
#include "memory/region.hpp"
#include "memory/slot_arena.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using PushResult = Initiator::PushResult;

constexpr std::size_t kSize = std::size_t{4} << 20U;

/// Pages on each of the two nodes.
struct Pages2 {
  std::size_t near = 0;
  std::size_t far = 0;
  bool operator==(const Pages2&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Pages2& pages) {
  return out << pages.near << " on node 0, " << pages.far << " on node 1";
}

/// Of the mappings of that name in this process (numa_maps, proc(5)), in pages of 4 KiB.
Pages2 pages_of(const std::string& name) {
  std::ifstream maps("/proc/self/numa_maps");
  Pages2 pages;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(name) == std::string::npos) continue;
    const auto number_after = [&](const char* key) -> std::size_t {
      const std::size_t at = line.find(key);
      return at == std::string::npos ? 0 : std::stoul(line.substr(at + std::strlen(key)));
    };
    const std::size_t scale = number_after(" kernelpagesize_kB=") / 4;
    pages.near += number_after(" N0=") * scale;
    pages.far += number_after(" N1=") * scale;
  }
  return pages;
}

void touch(const Region& region) {
  for (std::size_t i = 0; i < region.size(); i += kPageSize) region.data()[i] = std::byte{1};
}

/// Whatever is touched first is touched at node 0.
class Numa : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("FABRIC_TEST_FAR"), nullptr) << "tests/vm/numa.sh runs this";
    run_this_thread_on("0");
  }
  const std::string far_ = std::getenv("FABRIC_TEST_FAR") ? std::getenv("FABRIC_TEST_FAR") : "";
};

TEST_F(Numa, memory_lies_at_the_node_of_its_device) {
  const auto region = Region::create(kSize, "test-numa-far", {.near = far_});
  touch(*region);
  EXPECT_EQ(pages_of("test-numa-far"), (Pages2{0, kSize / kPageSize}));
}

TEST_F(Numa, memory_of_a_device_without_a_place_lies_where_it_is_touched) {
  for (const char* device : {"", "lo", "rxe0", "no-such-device"}) {
    const auto region = Region::create(kSize, "test-numa-any", {.near = device});
    touch(*region);
    EXPECT_EQ(pages_of("test-numa-any"), (Pages2{kSize / kPageSize, 0})) << device;
  }
}

TEST_F(Numa, huge_pages_do_as_well) {
  const auto region = Region::create(kSize, "test-numa-huge", {Pages::huge, far_});
  touch(*region);
  EXPECT_EQ(pages_of("test-numa-huge"), (Pages2{0, kSize / kPageSize}));
}

TEST_F(Numa, a_pool_does_as_well) {
  SlotArena arena(kSize, 2, {.near = far_});
  const SlotArena::Slot slot = arena.take();
  touch(*slot.region);
  EXPECT_EQ(pages_of("grainfabric-pool").near, 0U);
  EXPECT_EQ(pages_of("grainfabric-pool").far, slot.region->size() / kPageSize);
}

TEST_F(Numa, the_ring_of_a_session_lies_at_the_node_of_its_interface) {
  const auto loop = std::make_shared<EventLoop>("0");
  TargetOptions target = with_provider("udp");
  target.address = target.interface = std::getenv("FABRIC_TEST_FAR_ADDRESS");
  Receiver receiver(target, loop);
  InitiatorOptions initiator = to(receiver, "udp");
  initiator.host = initiator.interface = target.interface;
  Sender sender(initiator, loop);
  sender->start();
  ASSERT_EQ(sender.push({.size = kSize}), PushResult::accepted);
  ASSERT_TRUE(receiver.pop_grain());
  EXPECT_EQ(receiver->stats().interface, far_);
  EXPECT_EQ(sender->stats().interface, far_);
  const Pages2 ring = pages_of("grainfabric-ring");
  EXPECT_EQ(ring.near, 0U);
  EXPECT_GE(ring.far, kSize / kPageSize);
}

}  // namespace
}  // namespace grainfabric
