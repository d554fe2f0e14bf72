// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gst/allocators/gstfdmemory.h>
#include <gst/video/video.h>
#include <unistd.h>

#include "huge_pages.hpp"
#include "memory/region.hpp"
#include "pair.hpp"
#include "streams.hpp"

using namespace fabric::test;
using fabric::BufferPoolPtr;
using fabric::BufferPtr;
using fabric::CapsPtr;
using fabric::ElementPtr;
using fabric::MemoryPtr;
using fabric::QueryPtr;
using grainfabric::Pages;
using grainfabric::Region;
using grainfabric::test::in_huge_pages;

namespace {

const char* const kPicture = "video/x-raw,format=UYVY,width=320,height=180,framerate=50/1";

/// What the descriptor of a memory says, past every mapping of this process.
std::string read_through_fd(GstMemory* memory) {
  gsize offset = 0;
  gsize room = 0;
  const gsize size = gst_memory_get_sizes(memory, &offset, &room);
  std::string bytes(size, '\0');
  const ssize_t got =
      ::pread(gst_fd_memory_get_fd(memory), bytes.data(), size, static_cast<off_t>(offset));
  fail_unless_equals_int64(got, static_cast<gint64>(size));
  return bytes;
}

/// The pool that fabricsink offers for pictures, active.
BufferPoolPtr offered_pool(Sender& sender, const char* picture = kPicture) {
  const CapsPtr caps = caps_of(picture);
  const QueryPtr query(gst_query_new_allocation(caps.get(), TRUE));
  fail_unless(gst_pad_peer_query(sender.pad(), query.get()));
  fail_unless(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
  fail_unless(gst_query_get_n_allocation_pools(query.get()) > 0);
  GstBufferPool* pool = nullptr;
  guint size = 0;
  gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, &size, nullptr, nullptr);
  fail_unless(pool != nullptr && size >= 320 * 180 * 2);
  GstStructure* config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, caps.get(), size, 2, 0);
  fail_unless(gst_buffer_pool_set_config(pool, config));
  fail_unless(gst_buffer_pool_set_active(pool, TRUE));
  return BufferPoolPtr(pool);
}

BufferPtr acquired(GstBufferPool* pool) {
  GstBuffer* buffer = nullptr;
  fail_unless_equals_int(gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr), GST_FLOW_OK);
  return BufferPtr(buffer);
}

}  // namespace

GST_START_TEST(pictures_of_a_source_are_copied_nowhere) {
  Receiver receiver({}, Receiver::Keep::nothing);
  receiver.start();
  Side sender("fabricsink",
              {{"host", address()}, {"port", std::to_string(receiver.port())}, {"sync", "false"}});
  GstElement* source = gst_element_factory_make("videotestsrc", nullptr);
  GstElement* filter = gst_element_factory_make("capsfilter", nullptr);
  const CapsPtr caps = caps_of(kPicture);
  g_object_set(source, "num-buffers", 40, nullptr);
  g_object_set(filter, "caps", caps.get(), nullptr);
  gst_bin_add_many(GST_BIN(sender.pipeline()), source, filter, nullptr);
  fail_unless(gst_element_link_many(source, filter, sender.element(), nullptr));
  sender.set_state(GST_STATE_PLAYING);
  fail_unless(receiver.wait_event(GST_EVENT_EOS));
  fail_unless(sender.wait_message(GST_MESSAGE_EOS) != nullptr);
  fail_unless_equals_uint64(sender.stat("grains"), 40);
  fail_unless_equals_uint64(receiver.stat("grains"), 40);
  fail_unless_equals_uint64(sender.stat("bytes-copied"), 0);
  fail_unless_equals_uint64(sender.stat("grains-copied"), 0);
  fail_unless_equals_uint64(sender.stat("grains-foreign"), 0);
  fail_unless_equals_uint64(receiver.stat("bytes-copied"), 0);
}
GST_END_TEST

GST_START_TEST(a_received_buffer_is_read_only_memory_of_the_ring) {
  Receiver receiver({}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  for (unsigned i = 0; i < 3; ++i) sender.push(buffer_of(noise(5000, i)));
  fail_unless(receiver.wait_buffers(3));
  const auto items = receiver.take_buffers();
  const int fd = gst_fd_memory_get_fd(gst_buffer_peek_memory(items[0].buffer.get(), 0));
  for (unsigned i = 0; i < 3; ++i) {
    GstBuffer* buffer = items[i].buffer.get();
    fail_unless_equals_int(gst_buffer_n_memory(buffer), 1);
    GstMemory* memory = gst_buffer_peek_memory(buffer, 0);
    fail_unless(gst_is_fd_memory(memory));
    // Over local each lies in the memory that its slot was staged in at the sender's.
    if (!is_local()) fail_unless_equals_int(gst_fd_memory_get_fd(memory), fd);
    fail_unless(read_through_fd(memory) == noise(5000, i));
    fail_unless(bytes_of(buffer) == noise(5000, i));
    fail_unless(GST_MEMORY_IS_READONLY(memory));
    GstMapInfo map;
    fail_if(gst_memory_map(memory, &map, GST_MAP_WRITE));
    fail_unless((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    gsize offset = 0;
    gst_memory_get_sizes(memory, &offset, nullptr);
    fail_unless_equals_int(offset % 4096, 0);
  }
}
GST_END_TEST

GST_START_TEST(a_part_of_a_buffer_keeps_its_slot) {
  Receiver receiver({{"slots", "2"}}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port(), {{"leaky", "upstream"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  // Only with a ring does a leaky sender accept anything.
  fail_unless(eventually([&] {
    sender.push(buffer_of(noise(8192, 1)));
    return receiver.buffers() > 0;
  }));
  auto items = receiver.take_buffers();
  const std::string before = bytes_of(items[0].buffer.get());
  const BufferPtr part(
      gst_buffer_copy_region(items[0].buffer.get(), GST_BUFFER_COPY_MEMORY, 100, 50));
  const MemoryPtr shared(
      gst_memory_share(gst_buffer_peek_memory(items[0].buffer.get(), 0), 8000, 100));
  items.clear();  // the buffer goes, what was shared from it stays
  const std::size_t seen = receiver.buffers();
  fail_unless(eventually([&] {
    sender.push(buffer_of(noise(8192, 2)));
    receiver.take();
    return receiver.buffers() >= seen + 20;
  }));
  fail_unless(bytes_of(part.get()) == before.substr(100, 50));
  GstMapInfo map;
  fail_unless(gst_memory_map(shared.get(), &map, GST_MAP_READ));
  fail_unless(
      gst_memory_is_type(shared.get(), gst_buffer_peek_memory(part.get(), 0)->allocator->mem_type));
  fail_unless(std::string(reinterpret_cast<const char*>(map.data), map.size) ==
              before.substr(8000, 100));
  gst_memory_unmap(shared.get(), &map);
}
GST_END_TEST

GST_START_TEST(the_pool_offered_upstream_is_of_slots_and_what_is_written_there_arrives) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  const BufferPoolPtr pool = offered_pool(sender);
  fail_unless(g_str_equal(G_OBJECT_TYPE_NAME(pool.get()), "GstFabricPool"));
  for (unsigned i = 0; i < 6; ++i) {
    BufferPtr buffer = acquired(pool.get());
    fail_unless(gst_is_fd_memory(gst_buffer_peek_memory(buffer.get(), 0)));
    const std::string picture = noise(gst_buffer_get_size(buffer.get()), i);
    gst_buffer_fill(buffer.get(), 0, picture.data(), picture.size());
    fail_unless(read_through_fd(gst_buffer_peek_memory(buffer.get(), 0)) == picture);
    fail_unless_equals_int(sender.push(std::move(buffer)), GST_FLOW_OK);
  }
  fail_unless(receiver.wait_buffers(6));
  const auto items = receiver.take_buffers();
  for (unsigned i = 0; i < 6; ++i) {
    const std::string got = bytes_of(items[i].buffer.get());
    fail_unless(got == noise(got.size(), i), "picture %u", i);
  }
  fail_unless_equals_uint64(sender.stat("bytes-copied"), 0);
  fail_unless_equals_uint64(sender.stat("grains-foreign"), 0);
  gst_buffer_pool_set_active(pool.get(), FALSE);
}
GST_END_TEST

GST_START_TEST(a_copy_of_a_slot_is_another_slot_and_is_sent_from_there) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  const BufferPoolPtr pool = offered_pool(sender);
  BufferPtr original = acquired(pool.get());
  const std::string picture = noise(gst_buffer_get_size(original.get()), 7);
  gst_buffer_fill(original.get(), 0, picture.data(), picture.size());
  BufferPtr copy(gst_buffer_copy_deep(original.get()));
  BufferPtr copy_of_copy(gst_buffer_copy_deep(copy.get()));
  const MemoryPtr part(gst_memory_copy(gst_buffer_peek_memory(copy.get(), 0), 100, 50));
  // What is written into one is in no other.
  gst_buffer_memset(original.get(), 0, 0, picture.size());
  for (GstBuffer* one : {copy.get(), copy_of_copy.get()}) {
    fail_unless(gst_is_fd_memory(gst_buffer_peek_memory(one, 0)));
    fail_unless(read_through_fd(gst_buffer_peek_memory(one, 0)) == picture);
  }
  fail_unless(gst_is_fd_memory(part.get()));
  fail_unless(read_through_fd(part.get()) == picture.substr(100, 50));
  sender.push(std::move(copy));
  sender.push(std::move(original));
  // Copies outlive the pool.
  gst_buffer_pool_set_active(pool.get(), FALSE);
  sender.push(std::move(copy_of_copy));
  fail_unless(receiver.wait_buffers(3));
  const auto items = receiver.take_buffers();
  fail_unless(bytes_of(items[0].buffer.get()) == picture);
  fail_unless(bytes_of(items[1].buffer.get()) == std::string(picture.size(), '\0'));
  fail_unless(bytes_of(items[2].buffer.get()) == picture);
  fail_unless_equals_uint64(sender.stat("grains-foreign"), 0);
}
GST_END_TEST

GST_START_TEST(copies_that_are_hoarded_take_no_more_slots) {
  constexpr unsigned kSlots = 4;
  Sender sender(1, {{"slots", std::to_string(kSlots)}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  const BufferPoolPtr pool = offered_pool(sender);
  const BufferPtr original = acquired(pool.get());
  const std::string picture = noise(gst_buffer_get_size(original.get()), 7);
  gst_buffer_fill(original.get(), 0, picture.data(), picture.size());
  for (int round = 0; round < 2; ++round) {  // they come back
    std::vector<BufferPtr> hoard;
    unsigned in_slots = 0;
    for (unsigned i = 0; i < 10 * kSlots; ++i) {
      hoard.emplace_back(gst_buffer_copy_deep(original.get()));
      in_slots += gst_is_fd_memory(gst_buffer_peek_memory(hoard.back().get(), 0)) ? 1 : 0;
    }
    fail_unless_equals_int(in_slots, 2 * kSlots);
    for (const BufferPtr& copy : hoard) fail_unless(bytes_of(copy.get()) == picture);
  }
  gst_buffer_pool_set_active(pool.get(), FALSE);
}
GST_END_TEST

GST_START_TEST(the_pool_honours_video_alignment) {
  Receiver receiver({}, Receiver::Keep::originals);
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  const BufferPoolPtr pool = offered_pool(sender);
  gst_buffer_pool_set_active(pool.get(), FALSE);
  GstStructure* config = gst_buffer_pool_get_config(pool.get());
  GstVideoAlignment alignment;
  gst_video_alignment_reset(&alignment);
  alignment.padding_right = 12;
  alignment.stride_align[0] = 63;
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
  gst_buffer_pool_config_set_video_alignment(config, &alignment);
  fail_unless(gst_buffer_pool_set_config(pool.get(), config));
  fail_unless(gst_buffer_pool_set_active(pool.get(), TRUE));
  BufferPtr buffer = acquired(pool.get());
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer.get());
  fail_unless(meta != nullptr && meta->stride[0] >= (320 + 12) * 2 && meta->stride[0] % 64 == 0);
  const gint stride = meta->stride[0];
  const std::string picture = noise(gst_buffer_get_size(buffer.get()), 5);
  gst_buffer_fill(buffer.get(), 0, picture.data(), picture.size());
  sender.push(std::move(buffer));
  fail_unless(receiver.wait_buffers(1));
  const auto items = receiver.take_buffers();
  const GstVideoMeta* got = gst_buffer_get_video_meta(items[0].buffer.get());
  fail_unless(got != nullptr && got->stride[0] == stride);
  fail_unless(bytes_of(items[0].buffer.get()) == picture);
  fail_unless_equals_uint64(receiver.stat("bytes-copied"), 0);
  gst_buffer_pool_set_active(pool.get(), FALSE);
}
GST_END_TEST

GST_START_TEST(pool_and_ring_of_huge_pages_serve_like_others) {
  Receiver receiver(Properties{{"huge-pages", "true"}});
  receiver.start();
  Sender sender(receiver.port(), {{"huge-pages", "true"}});
  gboolean huge = FALSE;
  g_object_get(sender.element(), "huge-pages", &huge, nullptr);
  fail_unless(huge);
  sender.set_state(GST_STATE_PLAYING);
  const char* const picture_caps = "video/x-raw,format=UYVY,width=1280,height=720,framerate=50/1";
  sender.begin(picture_caps);
  const BufferPoolPtr pool = offered_pool(sender, picture_caps);
  for (unsigned i = 0; i < 12; ++i) {
    BufferPtr buffer = acquired(pool.get());
    const std::string picture = noise(gst_buffer_get_size(buffer.get()), i);
    gst_buffer_fill(buffer.get(), 0, picture.data(), picture.size());
    fail_unless_equals_int(sender.push(std::move(buffer)), GST_FLOW_OK);
    fail_unless(receiver.wait_buffers(i + 1));
    fail_unless(bytes_of(receiver.take_buffers()[0].buffer.get()) == picture);
  }
  fail_unless_equals_uint64(sender.stat("bytes-copied"), 0);
  const auto here = Region::create(std::size_t{2} << 20U, "fabric-test-huge", {Pages::huge});
  if (in_huge_pages("fabric-test-huge") > 0) {  // a host that has them
    fail_unless(in_huge_pages("grainfabric-pool") > 0);
    fail_unless_equals_int(in_huge_pages("grainfabric-ring") > 0, !is_local());  // headers only
  }
  gst_buffer_pool_set_active(pool.get(), FALSE);
}
GST_END_TEST

GST_START_TEST(a_foreign_buffer_is_counted) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  sender.push(buffer_of(noise(1000, 1)));
  fail_unless(receiver.wait_buffers(1));
  fail_unless_equals_uint64(sender.stat("grains-foreign"), 1);
}
GST_END_TEST

GST_START_TEST(more_memories_than_a_gather_list_takes_are_copied_and_counted) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  BufferPtr buffer(gst_buffer_new());
  for (unsigned i = 0; i < 9; ++i) {
    const BufferPtr part = buffer_of(noise(700, i));
    gst_buffer_append_memory(buffer.get(), gst_buffer_get_memory(part.get(), 0));
  }
  fail_unless_equals_int(gst_buffer_n_memory(buffer.get()), 9);
  const std::string sent = bytes_of(buffer.get());
  sender.push(std::move(buffer));
  fail_unless(receiver.wait_buffers(1));
  fail_unless(bytes_of(receiver.take_buffers()[0].buffer.get()) == sent);
  fail_unless_equals_uint64(sender.stat("bytes-copied"), 9 * 700);
  fail_unless_equals_uint64(sender.stat("grains-copied"), 1);
}
GST_END_TEST

GST_START_TEST(a_picture_is_copied_for_what_knows_no_strides_and_counted) {
  Receiver receiver;
  receiver.understands_video_meta = false;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  const Stream& uyvy = stream("UYVY");
  sender.begin(uyvy.caps.front());
  BufferPtr padded = uyvy.buffer(1);
  GstVideoInfo info;
  gst_video_info_from_caps(&info, uyvy.caps_at(1).get());
  GstVideoFrame from;
  fail_unless(gst_video_frame_map(&from, &info, padded.get(), GST_MAP_READ));
  std::string plain;
  for (int line = 0; line < info.height; ++line) {
    plain.append(
        static_cast<const char*>(from.data[0]) + line * GST_VIDEO_FRAME_PLANE_STRIDE(&from, 0),
        static_cast<std::size_t>(info.width) * 2);
  }
  gst_video_frame_unmap(&from);
  sender.push(std::move(padded));
  fail_unless(receiver.wait_buffers(1));
  const auto items = receiver.take_buffers();
  const std::string got = bytes_of(items[0].buffer.get());
  fail_unless_equals_uint64(got.size(), GST_VIDEO_INFO_SIZE(&info));
  fail_unless(got.substr(0, plain.size()) == plain);
  fail_unless_equals_uint64(receiver.stat("bytes-copied"), GST_VIDEO_INFO_SIZE(&info));
}
GST_END_TEST

namespace {

Suite* no_copy_suite() {
  Suite* suite = suite_create("no copy");
  TCase* cases = tcase_create("no copy");
  tcase_add_test(cases, pictures_of_a_source_are_copied_nowhere);
  tcase_add_test(cases, a_received_buffer_is_read_only_memory_of_the_ring);
  tcase_add_test(cases, a_part_of_a_buffer_keeps_its_slot);
  tcase_add_test(cases, the_pool_offered_upstream_is_of_slots_and_what_is_written_there_arrives);
  tcase_add_test(cases, a_copy_of_a_slot_is_another_slot_and_is_sent_from_there);
  tcase_add_test(cases, copies_that_are_hoarded_take_no_more_slots);
  tcase_add_test(cases, the_pool_honours_video_alignment);
  tcase_add_test(cases, pool_and_ring_of_huge_pages_serve_like_others);
  tcase_add_test(cases, a_foreign_buffer_is_counted);
  tcase_add_test(cases, more_memories_than_a_gather_list_takes_are_copied_and_counted);
  tcase_add_test(cases, a_picture_is_copied_for_what_knows_no_strides_and_counted);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(no_copy)
