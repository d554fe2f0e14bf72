// SPDX-License-Identifier: Apache-2.0
// Buffers of other elements' memory: what of it is sent from where it is, what is copied, and what
// happens to it meanwhile.
#include <fcntl.h>
#include <gst/allocators/gstdmabuf.h>
#include <gst/allocators/gstfdmemory.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/fd.hpp"
#include "pair.hpp"
#include "streams.hpp"

using namespace fabric::test;
using fabric::AllocatorPtr;
using fabric::BufferPtr;
using fabric::MemoryPtr;
using grainfabric::UniqueFd;

namespace {

constexpr gsize kPart = 8192;
const char* const kFileName = "fabric-test-foreign";

/// Sources of writes are registered: by the test's own transport (../engine/registering), or RDMA.
bool registers() {
  return provider().find("verbs") != std::string::npos;
}

/// A file as another element has it, mapped for writing.
struct File {
  enum class Kind { sealable, sealed, unsealable, named };

  File(gsize bytes, Kind kind) : size(bytes) {
    if (kind == Kind::named) {
      std::string path = (std::filesystem::temp_directory_path() / "fabric-XXXXXX").string();
      fd = UniqueFd(::mkstemp(path.data()));
      ::unlink(path.c_str());
    } else {
      fd = UniqueFd(::memfd_create(
          kFileName, MFD_CLOEXEC | (kind == Kind::unsealable ? 0U : MFD_ALLOW_SEALING)));
    }
    fail_unless(fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
    if (kind == Kind::sealed) {
      fail_unless(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
    }
    map();
  }
  File(UniqueFd existing, gsize bytes) : fd(std::move(existing)), size(bytes) { map(); }
  ~File() { ::munmap(data, size); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void fill(gsize offset, const std::string& bytes) const {
    std::memcpy(data + offset, bytes.data(), bytes.size());
  }
  /// All of it as one memory, with a descriptor of its own.
  [[nodiscard]] MemoryPtr memory(GstAllocator* allocator,
                                 GstFdMemoryFlags flags = GST_FD_MEMORY_FLAG_NONE) const {
    return MemoryPtr(
        gst_fd_allocator_alloc(allocator, ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0), size, flags));
  }
  [[nodiscard]] MemoryPtr memory(GstFdMemoryFlags flags = GST_FD_MEMORY_FLAG_NONE) const {
    const AllocatorPtr allocator(gst_fd_allocator_new());
    return memory(allocator.get(), flags);
  }

  UniqueFd fd;
  gsize size;
  char* data = nullptr;

 private:
  void map() {
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    fail_unless(mapped != MAP_FAILED);
    data = static_cast<char*>(mapped);
  }
};

BufferPtr buffer_in(MemoryPtr memory) {
  BufferPtr buffer(gst_buffer_new());
  gst_buffer_append_memory(buffer.get(), memory.release());
  return buffer;
}

struct Pair {
  Receiver receiver;
  Sender sender;
  explicit Pair(Receiver::Keep keep, const Properties& receiving = {},
                const Properties& sending = {})
      : receiver(receiving, keep), sender((receiver.start(), receiver.port()), sending) {
    sender.set_state(GST_STATE_PLAYING);
    sender.begin("application/x-anything");
  }
  /// The buffer as it arrives.
  BufferPtr pass(BufferPtr buffer) {
    const std::size_t before = receiver.buffers();
    fail_unless_equals_int(sender.push(std::move(buffer)), GST_FLOW_OK);
    fail_unless(receiver.wait_buffers(before + 1));
    return std::move(receiver.take_buffers().at(0).buffer);
  }
  void expect_counted(guint64 foreign, guint64 copied) const {
    fail_unless_equals_uint64(sender.stat("grains-foreign"), foreign);
    fail_unless_equals_uint64(sender.stat("bytes-copied"), copied);
  }
};

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

/// Mappings of files that File makes.
int mappings() {
  std::ifstream maps("/proc/self/maps");
  int found = 0;
  for (std::string line; std::getline(maps, line);) {
    found += line.find(kFileName) != std::string::npos ? 1 : 0;
  }
  return found;
}

}  // namespace

GST_START_TEST(buffers_in_one_memfd_are_sent_from_where_they_are) {
  for (const auto kind : {File::Kind::sealable, File::Kind::sealed}) {
    Pair pair(Receiver::Keep::originals, {{"slots", "4"}});
    const File file(16 * kPart, kind);
    const MemoryPtr whole = file.memory();
    gint fd = -1;
    std::ptrdiff_t descriptors = 0;
    for (unsigned i = 0; i < 40; ++i) {
      const gsize offset = i % 16 * kPart;
      const std::string bytes = noise(kPart - 100, i);
      file.fill(offset, bytes);
      // Parts of one memory, and memories that have nothing in common but the file.
      MemoryPtr part;
      if (i % 2 == 0) {
        part.reset(gst_memory_share(whole.get(), static_cast<gssize>(offset), kPart - 100));
      } else {
        part = file.memory();
        gst_memory_resize(part.get(), static_cast<gssize>(offset), kPart - 100);
      }
      const BufferPtr got = pair.pass(buffer_in(std::move(part)));
      fail_unless(bytes_of(got.get()) == bytes);
      GstMemory* arrived = gst_buffer_peek_memory(got.get(), 0);
      GstMapInfo map;
      fail_unless(gst_memory_map(arrived, &map, GST_MAP_READ));
      file.data[offset] = static_cast<char>(~bytes[0]);
      // One page, which shows a mark made afterwards; or two.
      fail_unless_equals_int(static_cast<char>(map.data[0]) == file.data[offset], is_local());
      fail_if(reinterpret_cast<char*>(map.data) == file.data + offset);
      gst_memory_unmap(arrived, &map);
      if (is_local()) {
        if (fd == -1) fd = gst_fd_memory_get_fd(arrived);
        fail_unless_equals_int(gst_fd_memory_get_fd(arrived), fd);
        fail_unless((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
      }
      if (i == 1) descriptors = open_descriptors();
    }
    // What buffers bring goes with them; the pipelines open and close some of their own.
    fail_unless(eventually([&] { return open_descriptors() < descriptors + 8; }));
    // Where sources are registered, not before they come again.
    pair.expect_counted(40, registers() ? pair.sender.stat("grains-copied") * (kPart - 100) : 0);
    fail_unless(pair.sender.stat("grains-copied") <= (registers() ? 2U : 0U));
  }
}
GST_END_TEST

GST_START_TEST(what_its_owner_could_cut_is_copied_and_cutting_it_hurts_nobody) {
  for (const auto kind : {File::Kind::unsealable, File::Kind::named}) {
    Pair pair(Receiver::Keep::originals);
    const File file(4 * kPart, kind);
    for (unsigned i = 0; i < 4; ++i) {
      const std::string bytes = noise(kPart, i);
      file.fill(i * kPart, bytes);
      MemoryPtr memory = file.memory();
      gst_memory_resize(memory.get(), static_cast<gssize>(i * kPart), kPart);
      const BufferPtr got = pair.pass(buffer_in(std::move(memory)));
      if (i == 3) fail_unless(::ftruncate(file.fd.get(), 0) == 0);
      fail_unless(bytes_of(got.get()) == bytes);
    }
    pair.expect_counted(4, is_local() || registers() ? 4 * kPart : 0);
  }
}
GST_END_TEST

GST_START_TEST(what_may_be_sealed_is_not_cut_while_it_is_read) {
  Pair pair(Receiver::Keep::originals);
  const File file(kPart, File::Kind::sealable);
  const std::string bytes = noise(kPart, 1);
  file.fill(0, bytes);
  const BufferPtr got = pair.pass(buffer_in(file.memory()));
  fail_unless_equals_int(::ftruncate(file.fd.get(), 0), -1);
  fail_unless_equals_int(errno, EPERM);
  fail_unless(bytes_of(got.get()) == bytes);
  // It may still grow, and what lies in the new part is no less its own.
  fail_unless_equals_int(::ftruncate(file.fd.get(), 2 * kPart), 0);
  const File grown(UniqueFd(::fcntl(file.fd.get(), F_DUPFD_CLOEXEC, 0)), 2 * kPart);
  grown.fill(kPart, bytes);
  MemoryPtr behind = grown.memory();
  gst_memory_resize(behind.get(), kPart, kPart);
  fail_unless(bytes_of(pair.pass(buffer_in(std::move(behind))).get()) == bytes);
  pair.expect_counted(2, registers() ? 2 * kPart : 0);
}
GST_END_TEST

GST_START_TEST(what_a_private_mapping_has_is_sent_and_not_what_the_file_has) {
  Pair pair(Receiver::Keep::copies);
  const File file(kPart, File::Kind::sealable);
  file.fill(0, std::string(kPart, 'f'));
  const MemoryPtr memory = file.memory(static_cast<GstFdMemoryFlags>(
      GST_FD_MEMORY_FLAG_MAP_PRIVATE | GST_FD_MEMORY_FLAG_KEEP_MAPPED));
  GstMapInfo map;
  fail_unless(gst_memory_map(memory.get(), &map, GST_MAP_READWRITE));
  std::memset(map.data, 'm', kPart);
  gst_memory_unmap(memory.get(), &map);
  fail_unless_equals_int(file.data[0], 'f');
  for (int i = 0; i < 3; ++i) {
    const BufferPtr got = pair.pass(buffer_in(MemoryPtr(gst_memory_ref(memory.get()))));
    fail_unless(bytes_of(got.get()) == std::string(kPart, 'm'));
  }
  pair.expect_counted(3, is_local() || registers() ? 3 * kPart : 0);
}
GST_END_TEST

GST_START_TEST(what_an_allocator_maps_in_a_way_of_its_own_is_sent_as_it_maps_it) {
  Pair pair(Receiver::Keep::copies);
  const AllocatorPtr allocator(gst_fd_allocator_new());
  static std::string decoded(kPart, 'd');
  allocator->mem_map = [](GstMemory*, gsize, GstMapFlags) -> gpointer { return decoded.data(); };
  allocator->mem_unmap = [](GstMemory*) {};
  const File file(kPart, File::Kind::sealed);
  for (int i = 0; i < 3; ++i) {
    const BufferPtr got = pair.pass(buffer_in(file.memory(allocator.get())));
    fail_unless(bytes_of(got.get()) == decoded);
  }
  pair.expect_counted(3, is_local() || registers() ? 3 * kPart : 0);
}
GST_END_TEST

GST_START_TEST(memory_is_kept_until_the_receiver_lets_go_of_it) {
  if (!is_local()) return;  // only there is it lent
  Pair pair(Receiver::Keep::originals);
  const File file(kPart, File::Kind::sealed);
  std::atomic<bool> freed = false;
  MemoryPtr memory = file.memory();
  gst_mini_object_weak_ref(
      GST_MINI_OBJECT_CAST(memory.get()),
      [](gpointer data, GstMiniObject*) { *static_cast<std::atomic<bool>*>(data) = true; }, &freed);
  BufferPtr got = pair.pass(buffer_in(std::move(memory)));
  // Others come and go.
  for (unsigned i = 0; i < 20; ++i) pair.pass(buffer_of(noise(100, i)));
  fail_if(freed);
  got.reset();
  fail_unless(eventually([&] {
    pair.pass(buffer_of("more"));  // a slot keeps its memory until the next grain is in it
    return freed.load();
  }));
}
GST_END_TEST

GST_START_TEST(a_file_in_the_place_of_another_is_never_taken_for_it) {
  Pair pair(Receiver::Keep::copies);
  for (unsigned i = 0; i < 300; ++i) {
    const File file(kPart, File::Kind::sealable);
    const std::string bytes = noise(kPart, i);
    file.fill(0, bytes);
    MemoryPtr memory = file.memory();
    for (int times = 0; times < 3; ++times) {
      const BufferPtr got = pair.pass(buffer_in(MemoryPtr(gst_memory_ref(memory.get()))));
      fail_unless(bytes_of(got.get()) == bytes, "file %u", i);
    }
  }
  if (!registers()) pair.expect_counted(900, 0);
  // Nothing of them is left, neither here nor at the receiver (which is in this process, too), once
  // others have taken their places (last-sample, slots).
  for (unsigned i = 0; i < 20; ++i) pair.pass(buffer_of(noise(100, i)));
  fail_unless(eventually([&] {
    pair.pass(buffer_of("more"));
    return mappings() == 0;
  }));
}
GST_END_TEST

GST_START_TEST(a_pool_of_files_is_copied_no_more_once_it_comes_again) {
  Pair pair(Receiver::Keep::copies);
  std::vector<std::unique_ptr<File>> files;
  std::vector<MemoryPtr> memories;
  for (int i = 0; i < 6; ++i) {
    files.push_back(std::make_unique<File>(kPart, File::Kind::sealed));
    memories.push_back(files.back()->memory());
  }
  for (unsigned i = 0; i < 60; ++i) {
    const std::string bytes = noise(kPart, i);
    files[i % 6]->fill(0, bytes);
    const BufferPtr got = pair.pass(buffer_in(MemoryPtr(gst_memory_ref(memories[i % 6].get()))));
    fail_unless(bytes_of(got.get()) == bytes);
  }
  pair.expect_counted(60, registers() ? 12 * kPart : 0);
}
GST_END_TEST

namespace {

const Properties kRegisterMemory{{"register-memory", "true"}};

MemoryPtr system_memory(gsize size) {
  return MemoryPtr(gst_allocator_alloc(nullptr, size, nullptr));
}

void write_all(GstMemory* memory, const std::string& bytes) {
  GstMapInfo map;
  // The sender may have it mapped for a moment after the receiver has its bytes.
  fail_unless(eventually([&] { return gst_memory_map(memory, &map, GST_MAP_WRITE) != FALSE; }));
  fail_unless_equals_uint64(map.size, bytes.size());
  std::memcpy(map.data, bytes.data(), bytes.size());
  gst_memory_unmap(memory, &map);
}

}  // namespace

GST_START_TEST(system_memory_that_comes_again_is_registered_on_request) {
  for (const bool asked : {false, true}) {
    Pair pair(Receiver::Keep::copies, {}, asked ? kRegisterMemory : Properties{});
    std::vector<MemoryPtr> memories;
    for (int i = 0; i < 6; ++i) memories.push_back(system_memory(kPart));
    for (unsigned i = 0; i < 60; ++i) {
      const std::string bytes = noise(kPart, i);
      GstMemory* const memory = memories[i % 6].get();
      write_all(memory, bytes);
      // Also in parts that share it.
      BufferPtr buffer = i % 12 < 6 ? buffer_in(MemoryPtr(gst_memory_ref(memory)))
                                    : buffer_in(MemoryPtr(gst_memory_share(memory, 0, 1000)));
      if (i % 12 >= 6) {
        gst_buffer_append_memory(buffer.get(), gst_memory_share(memory, 1000, kPart - 1000));
      }
      fail_unless(bytes_of(pair.pass(std::move(buffer)).get()) == bytes);
    }
    const guint64 copied = is_local() ? 60 : !registers() ? 0 : asked ? 12 : 60;
    pair.expect_counted(60, copied * kPart);
  }
}
GST_END_TEST

GST_START_TEST(memory_in_the_place_of_registered_memory_is_never_taken_for_it) {
  Pair pair(Receiver::Keep::copies, {}, kRegisterMemory);
  unsigned number = 0;
  for (int i = 0; i < 20; ++i) {
    // Freed each time, and mostly given again.
    const MemoryPtr memory = system_memory(kPart * (i % 3 + 1));
    for (int again = 0; again < 4; ++again) {
      const std::string bytes = noise(memory->size, ++number);
      write_all(memory.get(), bytes);
      const BufferPtr got = pair.pass(buffer_in(MemoryPtr(gst_memory_ref(memory.get()))));
      fail_unless(bytes_of(got.get()) == bytes);
    }
  }
}
GST_END_TEST

GST_START_TEST(read_only_memory_is_copied_where_it_would_be_registered) {
  Pair pair(Receiver::Keep::copies, {}, kRegisterMemory);
  const std::string bytes = noise(kPart, 1);
  const MemoryPtr memory(gst_memory_new_wrapped(GST_MEMORY_FLAG_READONLY,
                                                const_cast<char*>(bytes.data()), kPart, 0, kPart,
                                                nullptr, nullptr));
  for (int i = 0; i < 5; ++i) {
    const BufferPtr got = pair.pass(buffer_in(MemoryPtr(gst_memory_ref(memory.get()))));
    fail_unless(bytes_of(got.get()) == bytes);
  }
  pair.expect_counted(5, is_local() || registers() ? 5 * kPart : 0);
}
GST_END_TEST

namespace {

/// A dmabuf of vgem, the kernel's device without hardware; none where it is not loaded.
UniqueFd new_dmabuf(gsize size) {
  struct Dumb {  // drm_mode_create_dumb and drm_prime_handle of the kernel's interface
    std::uint32_t height, width, bits, flags, handle, pitch;
    std::uint64_t size;
  };
  struct Prime {
    std::uint32_t handle, flags;
    std::int32_t fd;
  };
  for (const char* path : {"/dev/dri/card0", "/dev/dri/card1"}) {
    const UniqueFd card(::open(path, O_RDWR | O_CLOEXEC));
    Dumb dumb{static_cast<std::uint32_t>(size / 4096), 4096, 8, 0, 0, 0, 0};
    if (!card || ::ioctl(card.get(), _IOWR('d', 0xB2, Dumb), &dumb) != 0) continue;
    Prime prime{dumb.handle, O_CLOEXEC | O_RDWR, -1};
    if (::ioctl(card.get(), _IOWR('d', 0x2D, Prime), &prime) == 0) return UniqueFd(prime.fd);
  }
  return {};
}

}  // namespace

GST_START_TEST(a_dmabuf_is_handed_on_as_it_is) {
  UniqueFd dmabuf = new_dmabuf(16 * kPart);
  if (!dmabuf) {
    g_print("not run: there is no dmabuf on this host (vgem)\n");
    fail_if(std::getenv("FABRIC_TEST_DMABUF") != nullptr);
    return;
  }
  Pair pair(Receiver::Keep::originals);
  const File file(std::move(dmabuf), 16 * kPart);
  const AllocatorPtr allocator(gst_dmabuf_allocator_new());
  const MemoryPtr whole(gst_dmabuf_allocator_alloc(
      allocator.get(), ::fcntl(file.fd.get(), F_DUPFD_CLOEXEC, 0), file.size));
  for (unsigned i = 0; i < 40; ++i) {
    const gsize offset = i % 16 * kPart;
    const std::string bytes = noise(kPart, i);
    file.fill(offset, bytes);
    const BufferPtr got = pair.pass(
        buffer_in(MemoryPtr(gst_memory_share(whole.get(), static_cast<gssize>(offset), kPart))));
    fail_unless(bytes_of(got.get()) == bytes);
    if (!is_local()) continue;
    GstMapInfo map;
    GstMemory* arrived = gst_buffer_peek_memory(got.get(), 0);
    fail_unless(gst_memory_map(arrived, &map, GST_MAP_READ));
    file.data[offset] = static_cast<char>(~bytes[0]);
    fail_unless_equals_int(static_cast<char>(map.data[0]), file.data[offset]);
    gst_memory_unmap(arrived, &map);
  }
  pair.expect_counted(40, registers() ? 40 * kPart : 0);
}
GST_END_TEST

namespace {

Suite* foreign_memory_suite() {
  Suite* suite = suite_create("foreign memory");
  TCase* cases = tcase_create("foreign memory");
  tcase_add_test(cases, buffers_in_one_memfd_are_sent_from_where_they_are);
  tcase_add_test(cases, what_its_owner_could_cut_is_copied_and_cutting_it_hurts_nobody);
  tcase_add_test(cases, what_may_be_sealed_is_not_cut_while_it_is_read);
  tcase_add_test(cases, what_a_private_mapping_has_is_sent_and_not_what_the_file_has);
  tcase_add_test(cases, what_an_allocator_maps_in_a_way_of_its_own_is_sent_as_it_maps_it);
  tcase_add_test(cases, memory_is_kept_until_the_receiver_lets_go_of_it);
  tcase_add_test(cases, a_file_in_the_place_of_another_is_never_taken_for_it);
  tcase_add_test(cases, a_pool_of_files_is_copied_no_more_once_it_comes_again);
  tcase_add_test(cases, system_memory_that_comes_again_is_registered_on_request);
  tcase_add_test(cases, memory_in_the_place_of_registered_memory_is_never_taken_for_it);
  tcase_add_test(cases, read_only_memory_is_copied_where_it_would_be_registered);
  tcase_add_test(cases, a_dmabuf_is_handed_on_as_it_is);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(foreign_memory)
