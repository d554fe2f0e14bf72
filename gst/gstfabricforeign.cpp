// SPDX-License-Identifier: Apache-2.0
#include "gstfabricforeign.hpp"

#include <gst/allocators/gstdmabuf.h>
#include <gst/allocators/gstfdmemory.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <compare>
#include <cstdint>
#include <map>
#include <mutex>

#include "memory/slot.hpp"

using grainfabric::Region;

namespace {

/// What tells one file from another while either is open. The size, too: a memfd may grow.
struct FileId {
  dev_t device;
  ino_t inode;
  off_t size;
  auto operator<=>(const FileId&) const = default;
};

struct Views {
  std::mutex mutex;  // also for the GstMemory's qdata: two sinks may look at one at a time
  std::map<FileId, std::weak_ptr<Region>> by_file;
};

Views& views() {
  static auto& all = *new Views;  // threads may still push while the process ends
  return all;
}

/// On the memory that others are shared from; null in it: looked at, and to be copied.
GQuark view_quark() {
  static const GQuark quark = g_quark_from_static_string("fabric-foreign-view");
  return quark;
}

/// Whether mapping is left to GstFdAllocator, so that what is mapped is the file from its start.
/// Some allocators derived from it give an untiled copy instead.
bool maps_its_file(const GstAllocator* allocator) {
  static const GstAllocator* const plain = gst_fd_allocator_new();
  static const GstAllocator* const dmabuf = gst_dmabuf_allocator_new();
  return allocator->mem_map == plain->mem_map && (allocator->mem_map_full == plain->mem_map_full ||
                                                  allocator->mem_map_full == dmabuf->mem_map_full);
}

/// Whether what is written into the mapping gets into the file. GST_FD_MEMORY_FLAG_MAP_PRIVATE is
/// nowhere to be read; but the kernel makes a second mapping of the same pages of shared ones only
/// (EINVAL; others mean that it cannot make one of this device's).
bool is_shared_mapping(const GstMapInfo& map) {
  const auto address = reinterpret_cast<std::uintptr_t>(map.data) & ~(grainfabric::kPageSize - 1);
  void* again =
      ::mremap(reinterpret_cast<void*>(address), 0, grainfabric::kPageSize, MREMAP_MAYMOVE);
  if (again == MAP_FAILED) return errno != EINVAL;
  ::munmap(again, grainfabric::kPageSize);
  return true;
}

/// With the lock.
std::shared_ptr<Region> view_of_file(int file) {
  struct stat is {};
  if (::fstat(file, &is) != 0) return nullptr;
  auto& by_file = views().by_file;
  const FileId id{is.st_dev, is.st_ino, is.st_size};
  // A living view has the file open, so that no other can have its number.
  if (const auto known = by_file.find(id); known != by_file.end()) {
    if (auto view = known->second.lock()) return view;
  }
  std::erase_if(by_file, [](const auto& entry) { return entry.second.expired(); });
  auto view = Region::view(file);
  if (view) by_file[id] = view;
  return view;
}

/// Finds the Region that `root` was given under that name, or gives it the one that `make` makes,
/// which may be null, for its life. With the lock.
template <class Make>
const std::shared_ptr<Region>& region_of(GstMiniObject* root, GQuark quark, const Make& make) {
  auto* known = static_cast<std::shared_ptr<Region>*>(gst_mini_object_get_qdata(root, quark));
  if (known == nullptr) {
    known = new std::shared_ptr<Region>(make());
    gst_mini_object_set_qdata(root, quark, known, [](gpointer data) {
      delete static_cast<std::shared_ptr<Region>*>(data);
    });
  }
  return *known;
}

/// The memory that others are shared from: what lives as long as any of them.
GstMiniObject* root_of(GstMemory* memory) {
  return GST_MINI_OBJECT_CAST(memory->parent != nullptr ? memory->parent : memory);
}

}  // namespace

std::shared_ptr<Region> gst_fabric_foreign_region(GstMemory* memory, const GstMapInfo& map) {
  if (!gst_is_fd_memory(memory) || !maps_its_file(memory->allocator)) return nullptr;
  const std::lock_guard lock(views().mutex);
  const auto& view = region_of(root_of(memory), view_quark(), [&] {
    return is_shared_mapping(map) ? view_of_file(gst_fd_memory_get_fd(memory)) : nullptr;
  });
  const bool inside =
      view && memory->offset <= view->size() && map.size <= view->size() - memory->offset;
  return inside ? view : nullptr;
}

std::shared_ptr<Region> gst_fabric_system_region(GstMemory* memory, const GstMapInfo& map) {
  GstMiniObject* const root = root_of(memory);
  if (!gst_memory_is_type(memory, GST_ALLOCATOR_SYSMEM) ||
      GST_MEMORY_IS_READONLY(GST_MEMORY_CAST(root))) {
    return nullptr;
  }
  static const GQuark quark = g_quark_from_static_string("fabric-system-region");
  auto* const begin = reinterpret_cast<std::byte*>(map.data) - memory->offset;
  const std::lock_guard lock(views().mutex);
  const auto& region = region_of(root, quark, [&] {
    return Region::borrow({begin, memory->maxsize});
  });
  // What is shared with an offset of its own begins where its parent does.
  const bool inside = begin == region->data() && memory->offset <= region->size() &&
                      map.size <= region->size() - memory->offset;
  return inside ? region : nullptr;
}
