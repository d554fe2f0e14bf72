// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "transport/local/limits.hpp"
#include "transport/local/queue.hpp"

/// The queues that two processes share, with both ends here.
namespace grainfabric::transport::local {
namespace {

struct LocalQueue : testing::Test {
  std::shared_ptr<QueueMemory> memory = QueueMemory::create();
  QueueWriter writer{memory, 0};
  QueueReader reader{memory, 0};

  /// Whether there was room.
  bool put(std::uint32_t number, std::size_t length) {
    std::byte* place = writer.place(length);
    if (place == nullptr) return false;
    std::memset(place, static_cast<int>(number & 0xff), length);
    Frame frame;
    frame.kind = Kind::message;
    frame.immediate = number;
    frame.length = static_cast<std::uint32_t>(length);
    woken += writer.commit(frame) ? 1 : 0;
    return true;
  }
  int woken = 0;
};

TEST_F(LocalQueue, frames_of_any_length_come_out_as_they_went_in) {
  std::mt19937 random(7);
  std::vector<std::size_t> lengths;
  std::uint32_t taken = 0;
  while (taken < 20'000) {
    const std::size_t length =
        random() % 3 == 0 ? random() % (kMaxFrame - sizeof(Frame) + 1) : random() % 300;
    if (put(static_cast<std::uint32_t>(lengths.size()), length)) {
      lengths.push_back(length);
      if (random() % 2 == 0) continue;
    }
    const auto arrival = reader.next();
    ASSERT_TRUE(arrival) << "nothing there, and no room for " << length;
    ASSERT_EQ(arrival->header.immediate, taken);
    ASSERT_EQ(arrival->data.size(), lengths[taken]);
    for (const std::byte one : arrival->data) ASSERT_EQ(one, static_cast<std::byte>(taken & 0xff));
    static_cast<void>(reader.pop());
    ++taken;
  }
}

TEST_F(LocalQueue,
       a_reader_at_its_doorbell_is_woken_by_a_frame_a_ring_another_listener_and_the_time) {
  const auto doorbell = reader.doorbell();
  const auto asleep = [&](std::chrono::milliseconds limit) {
    const auto begin = std::chrono::steady_clock::now();
    doorbell->sleep(begin + limit);
    return std::chrono::steady_clock::now() - begin;
  };
  constexpr std::chrono::seconds kLong{20};
  ASSERT_TRUE(reader.prepare_doorbell());
  std::thread writing([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    put(1, 8);
  });
  EXPECT_LT(asleep(kLong), kLong / 2);
  writing.join();
  EXPECT_EQ(woken, 0) << "nobody sleeps at the socket";
  EXPECT_FALSE(reader.prepare_doorbell()) << "there is a frame";
  EXPECT_LT(asleep(kLong), kLong / 2);
  ASSERT_TRUE(reader.next());
  static_cast<void>(reader.pop());

  ASSERT_TRUE(reader.prepare_doorbell());
  std::thread ringing([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    doorbell->ring();
  });
  EXPECT_LT(asleep(kLong), kLong / 2);
  ringing.join();

  ASSERT_TRUE(reader.prepare_doorbell());
  std::thread taking_over([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    static_cast<void>(reader.prepare_to_sleep());  // at the socket, from now on
  });
  EXPECT_LT(asleep(kLong), kLong / 2);
  taking_over.join();

  ASSERT_TRUE(reader.prepare_doorbell());
  EXPECT_GE(asleep(std::chrono::milliseconds(20)), std::chrono::milliseconds(20));
  EXPECT_LT(asleep(kLong), kLong / 2) << "it is awake: the time took it back";
}

TEST_F(LocalQueue, a_reader_that_sleeps_is_woken_once) {
  EXPECT_TRUE(reader.prepare_to_sleep());
  ASSERT_TRUE(put(1, 8));
  ASSERT_TRUE(put(2, 8));
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(reader.stay_awake());  // a wake-up is on its way
  EXPECT_FALSE(reader.prepare_to_sleep());
  EXPECT_FALSE(reader.stay_awake());
  ASSERT_TRUE(put(3, 8));
  EXPECT_EQ(woken, 1);
}

TEST_F(LocalQueue, a_writer_that_waits_is_woken_when_half_is_free) {
  std::uint32_t count = 0;
  while (put(count, 1000)) ++count;
  EXPECT_TRUE(writer.wait_for_room());
  std::uint32_t popped = 0;
  bool woken_up = false;
  while (!woken_up && reader.next()) {
    woken_up = reader.pop();
    ++popped;
  }
  EXPECT_TRUE(woken_up);
  EXPECT_NEAR(popped, count / 2, 2);
  EXPECT_FALSE(writer.wait_for_room());
  EXPECT_NE(writer.place(kMaxFrame - sizeof(Frame)), nullptr);
}

TEST_F(LocalQueue, garbage_is_refused_or_read_and_nothing_worse) {
  std::mt19937_64 random(11);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto fresh = QueueMemory::create();
    QueueState& state = fresh->state(0);
    std::byte* data = fresh->data(0);
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t word = random();
      std::memcpy(data + random() % 64 * 8, &word, sizeof word);
    }
    // Small sizes lead further in than random ones.
    const std::uint32_t size = static_cast<std::uint32_t>(random() % 300);
    std::memcpy(data, &size, sizeof size);
    state.written = random() % 4 == 0 ? random() : random() % (2 * kQueueSize);
    QueueReader victim(fresh, 0);
    try {
      for (int i = 0; i < 100; ++i) {
        const auto arrival = victim.next();
        if (!arrival) break;
        std::size_t sum = 0;
        for (const std::byte one : arrival->data) sum += static_cast<std::size_t>(one);
        EXPECT_LE(sum, arrival->data.size() * 255);
        static_cast<void>(victim.pop());
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::protocol);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10'000);
}

TEST_F(LocalQueue, a_file_that_can_be_cut_or_has_another_size_is_refused) {
  UniqueFd open(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open.get(), 1 << 20), 0);
  EXPECT_THROW(static_cast<void>(QueueMemory::open(std::move(open))), Error);
  EXPECT_THROW(static_cast<void>(QueueMemory::open(UniqueFd())), Error);
  EXPECT_THROW(static_cast<void>(QueueMemory::open(UniqueFd(::dup(STDOUT_FILENO)))), Error);
  EXPECT_NO_THROW(static_cast<void>(QueueMemory::open(UniqueFd(::dup(memory->fd())))));
}

}  // namespace
}  // namespace grainfabric::transport::local
