// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <memory>

#include "memory/region.hpp"

/// A view of the file behind `memory`, which another element's allocator made of a descriptor
/// (memfd, dmabuf) and which is mapped as `map`. One for each file, for as long as a memory of that
/// file lives: it is found again for every buffer that lies in it. What `memory` holds is at its
/// offset in the view. Null where it is no such memory, or may be lent to nobody: then it has to be
/// copied. Any thread.
std::shared_ptr<grainfabric::Region> gst_fabric_foreign_region(GstMemory* memory,
                                                               const GstMapInfo& map);

/// The system memory that `memory` lies in, all of it, from its allocation to its end: what is
/// shared from one has the same. Null for memory of other allocators, and for read-only memory. Any
/// thread.
std::shared_ptr<grainfabric::Region> gst_fabric_system_region(GstMemory* memory,
                                                              const GstMapInfo& map);
