// SPDX-License-Identifier: Apache-2.0
#include "gstfabricallocator.hpp"

#include <utility>

struct _GstFabricAllocator {
  GstFdAllocator parent;
  std::shared_ptr<grainfabric::Region> region;
  bool writable;
};

G_DEFINE_TYPE(GstFabricAllocator, gst_fabric_allocator, GST_TYPE_FD_ALLOCATOR)

namespace {

gpointer map_memory(GstMemory* memory, gsize, GstMapFlags flags) {
  GstFabricAllocator* self = GST_FABRIC_ALLOCATOR(memory->allocator);
  if ((flags & GST_MAP_WRITE) != 0 && !self->writable) return nullptr;
  return self->region->data();
}

void unmap_memory(GstMemory*) {}

}  // namespace

static void gst_fabric_allocator_finalize(GObject* object) {
  GST_FABRIC_ALLOCATOR(object)->region.~shared_ptr();
  G_OBJECT_CLASS(gst_fabric_allocator_parent_class)->finalize(object);
}

static void gst_fabric_allocator_class_init(GstFabricAllocatorClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_fabric_allocator_finalize;
}

static void gst_fabric_allocator_init(GstFabricAllocator* self) {
  new (&self->region) std::shared_ptr<grainfabric::Region>;
  GstAllocator* allocator = GST_ALLOCATOR_CAST(self);
  allocator->mem_map = map_memory;
  allocator->mem_unmap = unmap_memory;
}

GstFabricAllocator* gst_fabric_allocator_new(std::shared_ptr<grainfabric::Region> region,
                                             bool writable) {
  auto* self =
      GST_FABRIC_ALLOCATOR(gst_object_ref_sink(g_object_new(GST_TYPE_FABRIC_ALLOCATOR, nullptr)));
  self->region = std::move(region);
  self->writable = writable;
  return self;
}

GstMemory* gst_fabric_allocator_slot(GstFabricAllocator* allocator, gsize offset, gsize capacity,
                                     gsize size) {
  const auto& region = allocator->region;
  GstMemory* memory = gst_fd_allocator_alloc(
      GST_ALLOCATOR_CAST(allocator), allocator->writable ? region->fd() : region->read_only_fd(),
      region->size(), GST_FD_MEMORY_FLAG_DONT_CLOSE);
  // The memory stands for the slot alone, as far as GstMemory can say that.
  memory->offset = offset;
  memory->maxsize = offset + capacity;
  memory->size = size;
  if (!allocator->writable) GST_MINI_OBJECT_FLAG_SET(memory, GST_MEMORY_FLAG_READONLY);
  return memory;
}

std::shared_ptr<grainfabric::Region> gst_fabric_memory_region(GstMemory* memory) {
  if (!GST_IS_FABRIC_ALLOCATOR(memory->allocator)) return nullptr;
  return GST_FABRIC_ALLOCATOR(memory->allocator)->region;
}
