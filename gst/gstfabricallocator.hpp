// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/allocators/gstfdmemory.h>
#include <gst/gst.h>

#include <functional>
#include <memory>

#include "memory/region.hpp"

G_BEGIN_DECLS

#define GST_TYPE_FABRIC_ALLOCATOR (gst_fabric_allocator_get_type())
G_DECLARE_FINAL_TYPE(GstFabricAllocator, gst_fabric_allocator, GST, FABRIC_ALLOCATOR,
                     GstFdAllocator)

G_END_DECLS

/// Memory in one Region: fd memory (gst_is_fd_memory) whose fd is the region's and whose offset
/// counts from its start. Mapping costs nothing: it gives the engine's own mapping.
///
/// `writable` false: the memory is read-only, and so is its fd.
GstFabricAllocator* gst_fabric_allocator_new(std::shared_ptr<grainfabric::Region> region,
                                             bool writable);

/// A new memory of `capacity` bytes at `offset`, `size` of them in use. It has no parent, so that
/// everything shared from it keeps it alive.
GstMemory* gst_fabric_allocator_slot(GstFabricAllocator* allocator, gsize offset, gsize capacity,
                                     gsize size);

/// Where copies of this allocator's memories go: `place` gives a memory of `size` bytes to copy
/// into, without waiting for one, or null for system memory. Any thread; set before the first use.
void gst_fabric_allocator_place_copies(GstFabricAllocator* allocator,
                                       std::function<GstMemory*(gsize size)> place);

/// The region of this allocator's memories.
const std::shared_ptr<grainfabric::Region>& gst_fabric_allocator_region(
    GstFabricAllocator* allocator);

/// The region that `memory` lies in, or null if it is no memory of these allocators.
std::shared_ptr<grainfabric::Region> gst_fabric_memory_region(GstMemory* memory);
