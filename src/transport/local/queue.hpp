// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/doorbell.hpp"
#include "base/fd.hpp"
#include "transport/local/frame.hpp"

/// Two queues of frames in memory that two processes share, one in each direction, with one writer
/// and one reader each. Neither side trusts what the other leaves there: positions and sizes are
/// checked by the reader, and every header is read once, into a copy.
namespace grainfabric::transport::local {

/// One direction, as it lies in the shared memory. Positions count up for ever.
struct QueueState {
  alignas(64) std::atomic<std::uint64_t> written;
  alignas(64) std::atomic<std::uint64_t> read;
  /// Set by who is going to sleep, taken back by who wakes him. The reader says where: 1 at the
  /// socket, Doorbell::kAsleep at this word.
  alignas(64) std::atomic<std::uint32_t> reader_sleeps;
  alignas(64) std::atomic<std::uint32_t> writer_waits;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The mapping of both directions.
class QueueMemory {
 public:
  /// New memory, whose file a peer may be given.
  static std::shared_ptr<QueueMemory> create();
  /// A peer's. Throws Error(protocol) for a file that is not what create() makes: one of another
  /// size, or that the peer could cut while it is mapped here.
  static std::shared_ptr<QueueMemory> open(UniqueFd file);
  ~QueueMemory();
  QueueMemory(const QueueMemory&) = delete;
  QueueMemory& operator=(const QueueMemory&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// 0: from who created it; 1: to him.
  [[nodiscard]] QueueState& state(std::size_t direction) const noexcept;
  [[nodiscard]] std::byte* data(std::size_t direction) const noexcept;

 private:
  explicit QueueMemory(UniqueFd fd);

  UniqueFd fd_;
  std::byte* mapped_ = nullptr;
};

class QueueWriter {
 public:
  QueueWriter(std::shared_ptr<QueueMemory> memory, std::size_t direction) noexcept;

  /// Where a frame with `length` bytes of data (at most kMaxFrame in all) may be put together; null
  /// where there is no room now.
  [[nodiscard]] std::byte* place(std::size_t length) noexcept;
  /// Completes the frame at place(): writes its header and shows it to the reader. Returns whether
  /// the reader sleeps at the socket and has to be woken there.
  [[nodiscard]] bool commit(Frame header) noexcept;
  /// Asks to be woken when there is room. False: there is already, for a frame of any size.
  [[nodiscard]] bool wait_for_room() noexcept;

 private:
  std::shared_ptr<QueueMemory> memory_;
  QueueState& state_;
  std::byte* data_;
  std::uint64_t written_ = 0;
  std::uint64_t place_ = 0;
};

class QueueReader {
 public:
  QueueReader(std::shared_ptr<QueueMemory> memory, std::size_t direction) noexcept;

  struct Arrival {
    Frame header;  ///< Checked: its data lies within the queue.
    std::span<const std::byte> data;
  };
  /// The next frame, until pop(). Throws Error(protocol).
  [[nodiscard]] std::optional<Arrival> next();
  /// Gives the frame's room back. Returns whether the writer waits for it and has to be woken.
  [[nodiscard]] bool pop() noexcept;
  [[nodiscard]] bool is_empty() const noexcept;
  /// Asks to be woken for the next frame. False: there is one already.
  [[nodiscard]] bool prepare_to_sleep() noexcept;
  /// Takes prepare_to_sleep() back. Returns whether the writer has sent a wake-up meanwhile.
  bool stay_awake() noexcept;
  /// As prepare_to_sleep(), for a thread that sleeps at doorbell().
  [[nodiscard]] bool prepare_doorbell() noexcept;
  [[nodiscard]] std::shared_ptr<Doorbell> doorbell() const;

 private:
  std::shared_ptr<QueueMemory> memory_;
  QueueState& state_;
  const std::byte* data_;
  std::uint64_t read_ = 0;
  std::size_t current_ = 0;  // size of the frame that next() gave
  bool asleep_ = false;
};

}  // namespace grainfabric::transport::local
