// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "memory/region.hpp"
#include "memory/slot.hpp"
#include "memory/slot_arena.hpp"
#include "session/grain.hpp"

namespace grainfabric {
namespace {

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(
      std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
}

bool is_mapped(const std::string& name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(name) != std::string::npos) return true;
  }
  return false;
}

/// "VmFlags" of proc(5).
std::string flags_of_mapping(const std::string& name) {
  std::ifstream maps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    found = found || line.find(name) != std::string::npos;
    if (found && line.starts_with("VmFlags:")) return line;
  }
  return {};
}

TEST(Region, it_is_whole_pages_of_zeros_that_its_file_shows) {
  const auto region = Region::create(5000, "test-region");
  EXPECT_EQ(region->size(), 8192U);
  EXPECT_TRUE(std::all_of(region->bytes().begin(), region->bytes().end(),
                          [](std::byte b) { return b == std::byte{0}; }));
  region->data()[4999] = std::byte{42};
  std::byte seen{};
  ASSERT_EQ(::pread(region->read_only_fd(), &seen, 1, 4999), 1);
  EXPECT_EQ(seen, std::byte{42});
}

TEST(Region, its_size_is_sealed) {
  const auto region = Region::create(4096, "test-region");
  EXPECT_EQ(::fcntl(region->fd(), F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW),
            F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_NE(::ftruncate(region->fd(), 0), 0);
  EXPECT_NE(::ftruncate(region->fd(), 1 << 20), 0);
}

TEST(Region, the_read_only_descriptor_cannot_be_written_through) {
  const auto region = Region::create(4096, "test-region");
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region->read_only_fd(), 0),
            MAP_FAILED);
  EXPECT_EQ(::pwrite(region->read_only_fd(), "x", 1, 0), -1);
  void* view = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, region->read_only_fd(), 0);
  ASSERT_NE(view, MAP_FAILED);
  region->data()[0] = std::byte{9};  // the same physical page
  EXPECT_EQ(*static_cast<const std::byte*>(view), std::byte{9});
  ::munmap(view, 4096);
}

TEST(Region, more_than_memory_holds_is_refused_with_the_remedy) {
  for (const std::size_t size : {available_memory() * 2, SIZE_MAX, SIZE_MAX - 4095}) {
    try {
      Region::create(size, "test-region");
      FAIL() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::no_memory);
      EXPECT_NE(error.remedy().find("slots"), std::string::npos) << error.what();
    }
  }
}

TEST(Region, nothing_is_no_region) {
  try {
    Region::create(0, "test-region");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  }
}

TEST(Region, its_end_leaves_neither_descriptor_nor_mapping) {
  const std::size_t before = open_descriptors();
  {
    const auto region = Region::create(1 << 20, "test-region-end");
    EXPECT_EQ(open_descriptors(), before + 2);
    EXPECT_TRUE(is_mapped("test-region-end"));
    EXPECT_EQ(::fcntl(region->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(::fcntl(region->read_only_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_FALSE(is_mapped("test-region-end"));
}

TEST(Region, a_large_one_asks_for_huge_pages_and_lies_where_they_fit) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
    GTEST_SKIP() << "a kernel without transparent huge pages";
  }
  constexpr std::size_t kHuge = 2 << 20;
  const std::size_t before = open_descriptors();
  for (const std::size_t size : {kHuge, 3 * kHuge + 4096}) {
    const auto region = Region::create(size, "test-region-huge");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region->data()) % kHuge, 0U);
    region->bytes().front() = region->bytes().back() = std::byte{1};
    EXPECT_NE(flags_of_mapping("test-region-huge").find(" hg"), std::string::npos);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_FALSE(is_mapped("test-region-huge"));
}

TEST(Region, memory_is_taken_only_as_it_is_touched) {
  const auto region =
      Region::create(std::min<std::size_t>(available_memory() / 2, 1U << 30U), "test-region");
  struct stat file {};
  ASSERT_EQ(::fstat(region->fd(), &file), 0);
  EXPECT_LT(file.st_blocks * 512, 1 << 20);
}

TEST(SlotArena, slots_do_not_overlap_and_are_page_aligned) {
  SlotArena arena(5000, 4);
  std::set<const std::byte*> begins;
  std::vector<SlotArena::Slot> slots;
  for (int i = 0; i < 10; ++i) {
    slots.push_back(arena.take());
    const SlotArena::Slot& slot = slots.back();
    EXPECT_EQ(slot.offset % kPageSize, 0U);
    EXPECT_LE(slot.offset + slot_stride(5000), slot.region->size());
    begins.insert(slot.region->data() + slot.offset);
  }
  ASSERT_EQ(begins.size(), 10U);
  for (auto it = begins.begin(); std::next(it) != begins.end(); ++it) {
    const auto gap = static_cast<std::size_t>(*std::next(it) - *it);
    EXPECT_TRUE(gap >= slot_stride(5000)) << gap;
  }
}

TEST(SlotArena, a_slot_given_back_is_used_again_before_memory_grows) {
  SlotArena arena(4096, 1);
  auto slot = arena.take();
  const Region* region = slot.region.get();
  arena.give_back(std::move(slot));
  EXPECT_EQ(arena.take().region.get(), region);
}

TEST(SlotArena, a_slot_outlives_its_arena) {
  SlotArena::Slot slot;
  {
    SlotArena arena(100'000, 2);
    slot = arena.take();
  }
  std::memset(slot.region->data() + slot.offset, 1, slot_stride(100'000));
}

TEST(SlotArena, threads_never_get_the_same_slot) {
  SlotArena arena(1, 8);
  const auto work = [&arena](int mark) {
    for (int i = 0; i < 2000; ++i) {
      auto slot = arena.take();
      std::byte& first = slot.region->data()[slot.offset];
      first = static_cast<std::byte>(mark);  // ThreadSanitizer sees two that do
      EXPECT_EQ(first, static_cast<std::byte>(mark));
      arena.give_back(std::move(slot));
    }
  };
  std::thread one(work, 1);
  std::thread two(work, 2);
  one.join();
  two.join();
}

TEST(SlotLayout, header_and_payload_are_contiguous_and_payloads_begin_on_pages) {
  EXPECT_EQ(kMxlGrainInfoSize, 4096U);
  EXPECT_EQ(kSlotHeaderSize, 8192U);
  EXPECT_EQ(slot_stride(1), 8192U + 4096U);
  EXPECT_EQ(slot_stride(4096), 8192U + 4096U);
  EXPECT_EQ(slot_stride(4097), 8192U + 8192U);
  EXPECT_EQ(slot_stride(kMaxCapacity), 8192U + kMaxCapacity);
  EXPECT_EQ(kMaxHeaderMetadata, 4096U - 128U);
  EXPECT_LT(kMaxSlots * slot_stride(kMaxCapacity), SIZE_MAX / 2);  // no overflow anywhere
}

}  // namespace
}  // namespace grainfabric
