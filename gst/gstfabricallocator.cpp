// SPDX-License-Identifier: Apache-2.0
#include "gstfabricallocator.hpp"

#include <cstring>
#include <utility>

struct _GstFabricAllocator {
  GstFdAllocator parent;
  std::shared_ptr<grainfabric::Region> region;
  bool writable;
  std::function<GstMemory*(gsize size)> place_copy;
  GstMemoryCopyFunction copy_to_system;
};

G_DEFINE_TYPE(GstFabricAllocator, gst_fabric_allocator, GST_TYPE_FD_ALLOCATOR)

namespace {

gpointer map_memory(GstMemory* memory, gsize, GstMapFlags flags) {
  GstFabricAllocator* self = GST_FABRIC_ALLOCATOR(memory->allocator);
  if ((flags & GST_MAP_WRITE) != 0 && !self->writable) return nullptr;
  self->region->begin_reading();
  return self->region->data();
}

void unmap_memory(GstMemory* memory) {
  GST_FABRIC_ALLOCATOR(memory->allocator)->region->end_reading();
}

/// Copies are made where somebody else still holds the memory: by a decoder whose reference
/// picture it is, by gst_buffer_make_writable(), by gst_buffer_copy_deep().
GstMemory* copy_memory(GstMemory* memory, gssize offset, gssize size) {
  GstFabricAllocator* self = GST_FABRIC_ALLOCATOR(memory->allocator);
  const auto present = static_cast<gssize>(memory->size);
  const gssize wanted = size == -1 ? present - offset : size;
  const bool inside = offset >= 0 && wanted > 0 && wanted <= present - offset;
  GstMemory* copy =
      inside && self->place_copy ? self->place_copy(static_cast<gsize>(wanted)) : nullptr;
  if (copy == nullptr) return self->copy_to_system(memory, offset, size);
  const GstFabricAllocator* place = GST_FABRIC_ALLOCATOR(copy->allocator);
  self->region->begin_reading();
  std::memcpy(place->region->data() + copy->offset,
              self->region->data() + memory->offset + static_cast<gsize>(offset), copy->size);
  self->region->end_reading();
  return copy;
}

}  // namespace

static void gst_fabric_allocator_finalize(GObject* object) {
  GST_FABRIC_ALLOCATOR(object)->region.~shared_ptr();
  GST_FABRIC_ALLOCATOR(object)->place_copy.~function();
  G_OBJECT_CLASS(gst_fabric_allocator_parent_class)->finalize(object);
}

static void gst_fabric_allocator_class_init(GstFabricAllocatorClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_fabric_allocator_finalize;
}

static void gst_fabric_allocator_init(GstFabricAllocator* self) {
  new (&self->region) std::shared_ptr<grainfabric::Region>;
  new (&self->place_copy) std::function<GstMemory*(gsize)>;
  GstAllocator* allocator = GST_ALLOCATOR_CAST(self);
  allocator->mem_map = map_memory;
  allocator->mem_unmap = unmap_memory;
  self->copy_to_system = allocator->mem_copy;  // GStreamer's own
  allocator->mem_copy = copy_memory;
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

void gst_fabric_allocator_place_copies(GstFabricAllocator* allocator,
                                       std::function<GstMemory*(gsize size)> place) {
  allocator->place_copy = std::move(place);
}

const std::shared_ptr<grainfabric::Region>& gst_fabric_allocator_region(
    GstFabricAllocator* allocator) {
  return allocator->region;
}

std::shared_ptr<grainfabric::Region> gst_fabric_memory_region(GstMemory* memory) {
  if (!GST_IS_FABRIC_ALLOCATOR(memory->allocator)) return nullptr;
  return GST_FABRIC_ALLOCATOR(memory->allocator)->region;
}
