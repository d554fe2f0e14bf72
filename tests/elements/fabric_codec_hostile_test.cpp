// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>

#include "fabric_codec_samples.hpp"
#include "gstfabricevent.hpp"
#include "gstfabricmeta.hpp"

using fabric::BufferPtr;
using fabric::EventPtr;
using grainfabric::StreamEvent;

namespace {

using Bytes = std::vector<std::byte>;

BufferPtr empty_buffer(gsize size) {
  return BufferPtr{gst_buffer_new_allocate(nullptr, size, nullptr)};
}

bool read_metas(const Bytes& bytes, gsize size) {
  return fabric_meta_deserialize(empty_buffer(size).get(), bytes);
}

/// One to four bytes changed, sometimes to what breaks most.
Bytes mutated(Bytes bytes, std::mt19937& random) {
  const auto changes = 1U + random() % 4U;
  for (unsigned i = 0; i < changes; ++i) {
    const auto value = random() % 3U == 0U ? 0xFFU : random() & 0xFFU;
    bytes.at(random() % bytes.size()) = static_cast<std::byte>(value);
  }
  return bytes;
}

}  // namespace

GST_START_TEST(every_truncation_of_metas_is_survived) {
  Bytes whole;
  fabric_meta_serialize(sample_buffer().get(), whole);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    read_metas(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)), 8192);
  }
  Bytes audio;
  fabric_meta_serialize(sample_audio_buffer().get(), audio);
  for (std::size_t size = 1; size < audio.size(); ++size) {
    fail_if(
        read_metas(Bytes(audio.begin(), audio.begin() + static_cast<std::ptrdiff_t>(size)), 400));
  }
}
GST_END_TEST

GST_START_TEST(every_mutation_of_metas_is_survived) {
  std::mt19937 random{1};  // NOLINT: the same bytes in every run
  Bytes video;
  fabric_meta_serialize(sample_buffer().get(), video);
  Bytes audio;
  fabric_meta_serialize(sample_audio_buffer().get(), audio);
  for (int i = 0; i < 10000; ++i) {
    read_metas(mutated(video, random), 8192);
    read_metas(mutated(audio, random), 400);
  }
}
GST_END_TEST

GST_START_TEST(every_truncation_of_events_is_survived) {
  for (const EventPtr& event : sample_events()) {
    StreamEvent stream = *fabric_event_to_stream(event.get());
    while (!stream.body.empty()) {
      stream.body.pop_back();
      const EventPtr read{fabric_event_from_stream(stream)};
    }
  }
}
GST_END_TEST

GST_START_TEST(every_mutation_of_events_is_survived) {
  std::mt19937 random{2};  // NOLINT: the same bytes in every run
  for (const EventPtr& event : sample_events()) {
    const StreamEvent stream = *fabric_event_to_stream(event.get());
    for (int i = 0; i < 1500; ++i) {
      StreamEvent changed = stream;
      changed.body = mutated(stream.body, random);
      const EventPtr read{fabric_event_from_stream(changed)};
    }
  }
}
GST_END_TEST

GST_START_TEST(a_body_under_the_name_of_another_event_is_survived) {
  const std::vector<EventPtr> events = sample_events();
  for (const EventPtr& named : events) {
    for (const EventPtr& event : events) {
      StreamEvent stream = *fabric_event_to_stream(event.get());
      stream.name = fabric_event_to_stream(named.get())->name;
      const EventPtr read{fabric_event_from_stream(stream)};
    }
  }
}
GST_END_TEST

Suite* hostile_suite() {
  Suite* suite = suite_create("hostile bytes");
  TCase* cases = tcase_create("codec");
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, every_truncation_of_metas_is_survived);
  tcase_add_test(cases, every_mutation_of_metas_is_survived);
  tcase_add_test(cases, every_truncation_of_events_is_survived);
  tcase_add_test(cases, every_mutation_of_events_is_survived);
  tcase_add_test(cases, a_body_under_the_name_of_another_event_is_survived);
  suite_add_tcase(suite, cases);
  return suite;
}
