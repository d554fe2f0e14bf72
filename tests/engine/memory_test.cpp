// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "huge_pages.hpp"
#include "memory/available.hpp"
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

TEST(Region, nor_opened_again_for_writing) {
  const auto region = Region::create(4096, "test-region");
  const std::string path = "/proc/self/fd/" + std::to_string(region->read_only_fd());
  const UniqueFd again(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  for (const int file : {again.get(), region->fd()}) {
    if (file < 0) continue;  // as good
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), MAP_FAILED);
    EXPECT_EQ(::pwrite(file, "x", 1, 0), -1);
  }
  void* view = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, region->fd(), 0);
  ASSERT_NE(view, MAP_FAILED);
  EXPECT_NE(::mprotect(view, 4096, PROT_READ | PROT_WRITE), 0);
  region->data()[0] = std::byte{9};
  EXPECT_EQ(*static_cast<const std::byte*>(view), std::byte{9});
  ::munmap(view, 4096);
}

UniqueFd memfd(unsigned flags, std::size_t size, const char* name = "test-foreign") {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC | flags));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
  return file;
}

TEST(Region, a_view_is_what_is_in_the_file_of_another_and_seals_it) {
  const UniqueFd file = memfd(MFD_ALLOW_SEALING, 10'000);
  const auto view = Region::view(file.get());
  ASSERT_TRUE(view);
  EXPECT_EQ(view->size(), 10'000U);
  EXPECT_TRUE(view->is_view());
  EXPECT_TRUE(view->can_be_registered());
  EXPECT_EQ(::fcntl(file.get(), F_GET_SEALS), F_SEAL_SHRINK);  // it may still grow, and be written
  ASSERT_EQ(::pwrite(file.get(), "x", 1, 9999), 1);
  EXPECT_EQ(view->data()[9999], std::byte{'x'});
  EXPECT_EQ(::pwrite(view->read_only_fd(), "y", 1, 9999), -1);
  // The other side takes it.
  const auto there = Region::open(UniqueFd(::fcntl(view->read_only_fd(), F_DUPFD_CLOEXEC, 0)));
  EXPECT_EQ(there->data()[9999], std::byte{'x'});
  EXPECT_FALSE(there->can_be_registered());  // mapped for reading only
  EXPECT_FALSE(there->is_view());
}

TEST(Region, a_view_of_what_is_read_only_is_no_source_for_a_device) {
  const UniqueFd file = memfd(MFD_ALLOW_SEALING, 4096);
  ASSERT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  const UniqueFd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto view = Region::view(read_only.get());
  ASSERT_TRUE(view);
  EXPECT_FALSE(view->can_be_registered());
  ASSERT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  const auto sealed = Region::view(file.get());
  ASSERT_TRUE(sealed);
  EXPECT_FALSE(sealed->can_be_registered());
}

/// Files that could be cut, or are none.
std::vector<std::pair<std::string, UniqueFd>> files_to_refuse() {
  std::vector<std::pair<std::string, UniqueFd>> files;
  files.emplace_back("a memfd that nobody may seal", memfd(0, 4096));
  UniqueFd kept = memfd(MFD_ALLOW_SEALING, 4096);
  EXPECT_EQ(::fcntl(kept.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL), 0);
  files.emplace_back("a memfd that is sealed but not against this", std::move(kept));
  std::string name = ::testing::TempDir() + "region-XXXXXX";
  UniqueFd named(::mkstemp(name.data()));
  ::unlink(name.c_str());
  EXPECT_EQ(::ftruncate(named.get(), 4096), 0);
  files.emplace_back("a file with a name", std::move(named));
  UniqueFd huge(::memfd_create("test-huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING));
  if (huge && ::ftruncate(huge.get(), 2 << 20) == 0) {
    ::fcntl(huge.get(), F_ADD_SEALS, F_SEAL_SHRINK);
    files.emplace_back("a memfd of huge pages", std::move(huge));
  }
  UniqueFd empty = memfd(MFD_ALLOW_SEALING, 0);
  files.emplace_back("an empty one", std::move(empty));
  files.emplace_back("a device", UniqueFd(::open("/dev/zero", O_RDWR | O_CLOEXEC)));
  files.emplace_back("a folder", UniqueFd(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  files.emplace_back("nothing", UniqueFd());
  return files;
}

TEST(Region, what_could_be_cut_is_neither_viewed_nor_opened) {
  const auto files = files_to_refuse();
  const std::size_t before = open_descriptors();
  for (const auto& [what, file] : files) {
    EXPECT_FALSE(Region::view(file.get())) << what;
    try {
      Region::open(UniqueFd(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0)));
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::protocol) << what;
    }
  }
  EXPECT_EQ(open_descriptors(), before);
  // An unsealed one that could be sealed is its owner's to seal, not its reader's.
  EXPECT_THROW(Region::open(memfd(MFD_ALLOW_SEALING, 4096)), Error);
}

TEST(Region, the_end_of_a_view_leaves_the_file_to_its_owner) {
  const UniqueFd file = memfd(MFD_ALLOW_SEALING, 8192, "test-view-end");
  const std::size_t before = open_descriptors();
  {
    const auto view = Region::view(file.get());
    ASSERT_TRUE(view);
    EXPECT_EQ(open_descriptors(), before + 1);
    EXPECT_EQ(::fcntl(view->read_only_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_TRUE(is_mapped("test-view-end"));
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_FALSE(is_mapped("test-view-end"));
  EXPECT_EQ(::pwrite(file.get(), "x", 1, 0), 1);
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

TEST(Region, what_is_borrowed_is_registered_only_and_stays_its_owners) {
  std::vector<std::byte> owned(3 * kPageSize, std::byte{1});
  {
    const auto region = Region::borrow(owned);
    EXPECT_EQ(region->data(), owned.data());
    EXPECT_EQ(region->size(), owned.size());
    EXPECT_TRUE(region->is_view());
    EXPECT_TRUE(region->can_be_registered());
    EXPECT_FALSE(region->can_be_shared());
    region->begin_reading();
    region->end_reading();
  }
  EXPECT_EQ(std::count(owned.begin(), owned.end(), std::byte{1}), 3 * kPageSize);
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

/// Whether the line that is said but once has been.
bool told_of_no_huge_pages = false;

TEST(Region, huge_pages_are_there_on_request_and_where_it_is_lent) {
  constexpr std::size_t kHuge = 2 << 20;
  std::vector<std::string> said;
  set_log_hook([&](LogLevel, const char*, const std::string& line) { said.push_back(line); });
  const auto region = Region::create(3 * kHuge + 4096, "test-huge-on-request", {Pages::huge});
  set_log_hook(nullptr);
  EXPECT_TRUE(std::all_of(region->bytes().begin(), region->bytes().end(),
                          [](std::byte b) { return b == std::byte{0}; }));
  told_of_no_huge_pages = told_of_no_huge_pages || !said.empty();
  if (told_of_no_huge_pages) GTEST_SKIP() << "a host without huge pages";
  EXPECT_EQ(test::in_huge_pages("test-huge-on-request"), 3 * kHuge / 1024);
  const auto there = Region::open(UniqueFd(::fcntl(region->read_only_fd(), F_DUPFD_CLOEXEC, 0)));
  volatile std::byte sum{};
  for (std::size_t i = 0; i < there->size(); i += 4096) sum = sum | there->data()[i];
  EXPECT_EQ(test::in_huge_pages("test-huge-on-request"), 2 * 3 * kHuge / 1024);
}

TEST(Region, a_host_without_huge_pages_gives_others_and_says_so_once) {
  std::vector<std::string> said;
  set_log_hook([&](LogLevel, const char*, const std::string& line) { said.push_back(line); });
  ASSERT_EQ(::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
  std::vector<std::shared_ptr<Region>> regions;
  for (int i = 0; i < 3; ++i) {
    regions.push_back(Region::create(4 << 20, "test-huge-not", {Pages::huge}));
    regions.back()->bytes().back() = std::byte{1};
  }
  ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  set_log_hook(nullptr);
  EXPECT_EQ(test::in_huge_pages("test-huge-not"), 0U);
  EXPECT_EQ(said.size(), told_of_no_huge_pages ? 0U : 1U);
  told_of_no_huge_pages = true;
}

TEST(Region, memory_is_taken_only_as_it_is_touched) {
  const auto region =
      Region::create(std::min<std::size_t>(available_memory() / 2, 1U << 30U), "test-region");
  struct stat file {};
  ASSERT_EQ(::fstat(region->fd(), &file), 0);
  EXPECT_LT(file.st_blocks * 512, 1 << 20);
}

/// A folder that looks like a mounted hierarchy of control groups.
struct ControlGroups : testing::Test {
  const std::filesystem::path root =
      std::filesystem::path(::testing::TempDir()) / ("groups-" + std::to_string(::getpid()));

  ~ControlGroups() override { std::filesystem::remove_all(root); }
  void make(const std::string& group, const std::string& limit, const std::string& used,
            const std::string& stat = {}) const {
    const std::string folder = root.string() + group;
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/memory.max") << limit << '\n';
    std::ofstream(folder + "/memory.current") << used << '\n';
    if (!stat.empty()) std::ofstream(folder + "/memory.stat") << stat;
  }
  [[nodiscard]] std::size_t left(const std::string& group) const {
    return left_in_control_group(root.string(), group);
  }
};

TEST_F(ControlGroups, the_tightest_limit_counts_wherever_it_is) {
  EXPECT_EQ(left("/a/b"), SIZE_MAX);
  make("/a/b", "max", "100");
  EXPECT_EQ(left("/a/b"), SIZE_MAX);
  make("/a", "1000", "300");
  EXPECT_EQ(left("/a/b"), 700U);
  make("/a/b", "500", "100");
  EXPECT_EQ(left("/a/b"), 400U);
  make("/a/b", "500", "600");  // lowered below what is in use
  EXPECT_EQ(left("/a/b"), 0U);
}

TEST_F(ControlGroups, a_containers_own_limit_is_at_the_root) {
  make("", "1000", "900");
  EXPECT_EQ(left(""), 100U);
  EXPECT_EQ(left("/"), 100U);
  make("/a/b", "500", "100");
  EXPECT_EQ(left("/a/b"), 100U);
}

TEST_F(ControlGroups, what_the_kernel_can_take_back_is_free) {
  make("/a", "1000", "900",
       "anon 100\nfile 700\nshmem 50\ninactive_anon 60\nactive_anon 40\ninactive_file 400\n"
       "active_file 250\nslab_reclaimable 20\nslab_unreclaimable 10\n");
  EXPECT_EQ(left("/a"), 1000U - (900 - 400 - 250 - 20));
  make("/a", "1000", "900", "inactive_file 5000\n");  // read a little later
  EXPECT_EQ(left("/a"), 1000U);
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
