// SPDX-License-Identifier: Apache-2.0
#include "gstfabricpool.hpp"

#include <gst/video/gstvideometa.h>
#include <gst/video/gstvideopool.h>

#include <atomic>
#include <memory>
#include <utility>

#include "base/error.hpp"
#include "gstfabricallocator.hpp"
#include "gstfabricsettings.hpp"
#include "gstptr.hpp"
#include "memory/slot.hpp"
#include "memory/slot_arena.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using grainfabric::SlotArena;

namespace {

/// Where the memories of one configuration of a pool lie.
struct Slots {
  Slots(gsize capacity, guint batch, const grainfabric::Placement& placement)
      : arena(capacity, batch, placement), most_copies(2 * batch) {}
  SlotArena arena;
  /// Copies of slots are slots too, so that they are sent from where they are; but no more at a
  /// time than a ring and a queue before it hold: the arena does not grow with who hoards them.
  const guint most_copies;
  std::atomic<guint> copies = 0;
};

struct PoolState {
  guint batch = 1;
  grainfabric::Placement placement;
  guint size = 0;
  bool add_video_meta = false;
  GstVideoInfo info{};
  GstVideoAlignment alignment{};
  std::shared_ptr<Slots> slots;
};

/// Gives a slot back to its arena when the last memory in it is freed.
struct SlotOwner {
  std::shared_ptr<Slots> slots;
  SlotArena::Slot slot;
  bool copy;
  SlotOwner(std::shared_ptr<Slots> from, bool for_copy)
      : slots(std::move(from)), slot(slots->arena.take()), copy(for_copy) {}
  ~SlotOwner() {
    slots->arena.give_back(std::move(slot));
    if (copy) --slots->copies;
  }
  SlotOwner(const SlotOwner&) = delete;
  SlotOwner& operator=(const SlotOwner&) = delete;
};

GQuark slot_owner_quark() {
  static const GQuark quark = g_quark_from_static_string("fabric-slot-owner");
  return quark;
}

GstMemory* new_copy(const std::shared_ptr<Slots>& slots, gsize size);

/// A memory of `size` bytes in a slot of its own. Throws what SlotArena::take() throws.
GstMemory* new_memory(const std::shared_ptr<Slots>& slots, gsize size, bool copy) {
  auto owner = std::make_unique<SlotOwner>(slots, copy);
  GstFabricAllocator* allocator = gst_fabric_allocator_new(owner->slot.region, true);
  gst_fabric_allocator_place_copies(allocator,
                                    [slots](gsize wanted) { return new_copy(slots, wanted); });
  GstMemory* memory =
      gst_fabric_allocator_slot(allocator, owner->slot.offset + grainfabric::kSlotHeaderSize,
                                grainfabric::page_align(slots->arena.capacity()), size);
  gst_object_unref(allocator);  // the memory holds it
  gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(memory), slot_owner_quark(), owner.release(),
                            [](gpointer data) { delete static_cast<SlotOwner*>(data); });
  return memory;
}

/// A memory to copy another into; null when that had better go elsewhere.
GstMemory* new_copy(const std::shared_ptr<Slots>& slots, gsize size) {
  if (size > slots->arena.capacity()) return nullptr;
  if (slots->copies++ < slots->most_copies) {
    try {
      return new_memory(slots, size, true);
    } catch (const grainfabric::Error& error) {
      GST_INFO("no slot for a copy: %s", error.what());
    }
  }
  --slots->copies;
  return nullptr;
}

}  // namespace

struct _GstFabricPool {
  GstBufferPool parent;
  PoolState state;
};

G_DEFINE_TYPE(GstFabricPool, gst_fabric_pool, GST_TYPE_BUFFER_POOL)

static const gchar** gst_fabric_pool_get_options(GstBufferPool*) {
  static const gchar* options[] = {GST_BUFFER_POOL_OPTION_VIDEO_META,
                                   GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT, nullptr};
  return options;
}

static gboolean gst_fabric_pool_set_config(GstBufferPool* pool, GstStructure* config) {
  PoolState& state = GST_FABRIC_POOL(pool)->state;
  GstCaps* caps = nullptr;
  guint size = 0;
  guint least = 0;
  guint most = 0;
  if (!gst_buffer_pool_config_get_params(config, &caps, &size, &least, &most) || size == 0) {
    GST_WARNING_OBJECT(pool, "a configuration without a size");
    return FALSE;
  }
  state.add_video_meta = false;
  gst_video_alignment_reset(&state.alignment);
  GstVideoInfo info;
  if (caps != nullptr && gst_video_info_from_caps(&info, caps)) {
    state.add_video_meta =
        gst_buffer_pool_config_has_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    if (state.add_video_meta &&
        gst_buffer_pool_config_has_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT)) {
      gst_buffer_pool_config_get_video_alignment(config, &state.alignment);
      if (!gst_video_info_align(&info, &state.alignment)) return FALSE;
      gst_buffer_pool_config_set_video_alignment(config, &state.alignment);
    }
    state.info = info;
    size = MAX(size, static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)));
  }
  gst_buffer_pool_config_set_params(config, caps, size, least, most);
  state.size = size;
  state.slots = std::make_shared<Slots>(size, state.batch, state.placement);
  return GST_BUFFER_POOL_CLASS(gst_fabric_pool_parent_class)->set_config(pool, config);
}

static GstFlowReturn gst_fabric_pool_alloc_buffer(GstBufferPool* pool, GstBuffer** buffer,
                                                  GstBufferPoolAcquireParams*) {
  PoolState& state = GST_FABRIC_POOL(pool)->state;
  GstMemory* memory = nullptr;
  try {
    memory = new_memory(state.slots, state.size, false);
  } catch (const grainfabric::Error& error) {
    GST_ERROR_OBJECT(pool, "%s", error.what());
    return GST_FLOW_ERROR;
  }
  *buffer = gst_buffer_new();
  gst_buffer_append_memory(*buffer, memory);
  if (state.add_video_meta) {
    GstVideoInfo& info = state.info;
    GstVideoMeta* meta = gst_buffer_add_video_meta_full(
        *buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info),
        GST_VIDEO_INFO_WIDTH(&info), GST_VIDEO_INFO_HEIGHT(&info), GST_VIDEO_INFO_N_PLANES(&info),
        info.offset, info.stride);
    gst_video_meta_set_alignment(meta, state.alignment);
  }
  return GST_FLOW_OK;
}

/// The default resets a memory to offset 0, which is the start of the region for a slot.
static void gst_fabric_pool_reset_buffer(GstBufferPool* pool, GstBuffer* buffer) {
  GST_BUFFER_POOL_CLASS(gst_fabric_pool_parent_class)->reset_buffer(pool, buffer);
  // With a tag the memory is not the pool's own any more, and the buffer will be dropped.
  if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_TAG_MEMORY)) return;
  GstMemory* memory = gst_buffer_peek_memory(buffer, 0);
  const auto* owner = static_cast<SlotOwner*>(
      gst_mini_object_get_qdata(GST_MINI_OBJECT_CAST(memory), slot_owner_quark()));
  memory->offset = owner->slot.offset + grainfabric::kSlotHeaderSize;
  memory->size = GST_FABRIC_POOL(pool)->state.size;
}

static void gst_fabric_pool_finalize(GObject* object) {
  GST_FABRIC_POOL(object)->state.~PoolState();
  G_OBJECT_CLASS(gst_fabric_pool_parent_class)->finalize(object);
}

static void gst_fabric_pool_class_init(GstFabricPoolClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_fabric_pool_finalize;
  auto* pool_class = GST_BUFFER_POOL_CLASS(klass);
  pool_class->get_options = gst_fabric_pool_get_options;
  pool_class->set_config = gst_fabric_pool_set_config;
  pool_class->alloc_buffer = gst_fabric_pool_alloc_buffer;
  pool_class->reset_buffer = gst_fabric_pool_reset_buffer;
}

static void gst_fabric_pool_init(GstFabricPool* self) {
  new (&self->state) PoolState;
}

GstBufferPool* gst_fabric_pool_new(guint batch, const grainfabric::Placement& placement) {
  auto* pool = GST_FABRIC_POOL(gst_object_ref_sink(g_object_new(GST_TYPE_FABRIC_POOL, nullptr)));
  pool->state.batch = batch;
  pool->state.placement = placement;
  return GST_BUFFER_POOL(pool);
}
