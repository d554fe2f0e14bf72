// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include "memory/region.hpp"

G_BEGIN_DECLS

#define GST_TYPE_FABRIC_POOL (gst_fabric_pool_get_type())
G_DECLARE_FINAL_TYPE(GstFabricPool, gst_fabric_pool, GST, FABRIC_POOL, GstBufferPool)

G_END_DECLS

/// A pool of slots for what is upstream of fabricsink: what is rendered into its buffers is sent
/// from where it lies. Understands GstVideoMeta and video alignment. `batch` slots are mapped at a
/// time; the pool grows with what upstream keeps. A copy of a slot is
/// another slot, as long as there are not too many of them.
GstBufferPool* gst_fabric_pool_new(guint batch, const grainfabric::Placement& placement);
