// SPDX-License-Identifier: Apache-2.0
#include "transport/local/queue.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "memory/slot.hpp"
#include "transport/local/limits.hpp"

namespace grainfabric::transport::local {
namespace {

constexpr std::size_t kStateSize = page_align(2 * sizeof(QueueState));
constexpr std::size_t kMemorySize = kStateSize + 2 * kQueueSize;
constexpr std::uint32_t kAtSocket = 1;
static_assert((kQueueSize & (kQueueSize - 1)) == 0 && kMaxFrame * 2 < kQueueSize);

}  // namespace

std::shared_ptr<QueueMemory> QueueMemory::create() {
  UniqueFd fd(::memfd_create("grainfabric-queue", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), kMemorySize) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw Error::from_errno(errno, "Cannot create a queue (local)",
                            "Raise the limit on open files (ulimit -n).");
  }
  return std::shared_ptr<QueueMemory>(new QueueMemory(std::move(fd)));
}

std::shared_ptr<QueueMemory> QueueMemory::open(UniqueFd file) {
  struct stat is {};
  // The seals first: only memory has them, and the file system of anything else may be a process
  // (FUSE) that never answers.
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(file.get(), &is) != 0 ||
      static_cast<std::size_t>(is.st_size) != kMemorySize) {
    throw Error(ErrorCode::protocol, "The peer gave a queue (local) that is none");
  }
  return std::shared_ptr<QueueMemory>(new QueueMemory(std::move(file)));
}

QueueMemory::QueueMemory(UniqueFd fd) : fd_(std::move(fd)) {
  void* mapped = ::mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (mapped == MAP_FAILED) throw Error::from_errno(errno, "Cannot map a queue (local)");
  mapped_ = static_cast<std::byte*>(mapped);
}

QueueMemory::~QueueMemory() {
  ::munmap(mapped_, kMemorySize);
}

QueueState& QueueMemory::state(std::size_t direction) const noexcept {
  // Zeros are a valid state, so nobody has to construct it, and both sides may begin at once.
  return reinterpret_cast<QueueState*>(mapped_)[direction];
}

std::byte* QueueMemory::data(std::size_t direction) const noexcept {
  return mapped_ + kStateSize + direction * kQueueSize;
}

// ---- writer -----------------------------------------------------------------------------------

QueueWriter::QueueWriter(std::shared_ptr<QueueMemory> memory, std::size_t direction) noexcept
    : memory_(std::move(memory)),
      state_(memory_->state(direction)),
      data_(memory_->data(direction)) {}

std::byte* QueueWriter::place(std::size_t length) noexcept {
  const std::size_t size = frame_size(length);
  const std::size_t to_end = kQueueSize - written_ % kQueueSize;
  const std::size_t skipped = size > to_end ? to_end : 0;
  // A reader that writes nonsense here gets nonsense to read, and nothing else.
  const std::uint64_t used = written_ - state_.read.load(std::memory_order_acquire);
  if (used > kQueueSize || size + skipped > kQueueSize - used) return nullptr;
  place_ = written_ + skipped;
  return data_ + place_ % kQueueSize + sizeof(Frame);
}

bool QueueWriter::commit(Frame header) noexcept {
  if (place_ != written_) {
    // Only as much of a header as fits is there: the size, which is never less than eight bytes.
    const Frame skip{static_cast<std::uint32_t>(place_ - written_), Kind::skip};
    std::memcpy(data_ + written_ % kQueueSize, &skip, 8);
  }
  header.size = static_cast<std::uint32_t>(frame_size(header.length));
  std::memcpy(data_ + place_ % kQueueSize, &header, sizeof header);
  written_ = place_ + header.size;
  place_ = written_;
  // Either this store is seen by a reader that goes to sleep, or its flag is seen here.
  state_.written.store(written_, std::memory_order_seq_cst);
  if (state_.reader_sleeps.load(std::memory_order_seq_cst) == 0) return false;
  const std::uint32_t where = state_.reader_sleeps.exchange(0);
  if (where == Doorbell::kAsleep) Doorbell::wake(state_.reader_sleeps);
  return where == kAtSocket;
}

bool QueueWriter::wait_for_room() noexcept {
  state_.writer_waits.store(1, std::memory_order_seq_cst);
  // Half of it: any frame and what it may have to skip.
  if (written_ - state_.read.load(std::memory_order_seq_cst) > kQueueSize / 2) return true;
  state_.writer_waits.store(0);
  return false;
}

// ---- reader -----------------------------------------------------------------------------------

QueueReader::QueueReader(std::shared_ptr<QueueMemory> memory, std::size_t direction) noexcept
    : memory_(std::move(memory)),
      state_(memory_->state(direction)),
      data_(memory_->data(direction)) {}

std::optional<QueueReader::Arrival> QueueReader::next() {
  // A skip fills the queue up to its end, so that there are never two of them.
  for (bool has_skipped = false;;) {
    const std::uint64_t ready = state_.written.load(std::memory_order_acquire) - read_;
    if (ready == 0) return std::nullopt;
    const std::size_t to_end = kQueueSize - read_ % kQueueSize;
    Arrival arrival;
    Frame& frame = arrival.header;
    const std::byte* const place = data_ + read_ % kQueueSize;
    std::memcpy(&frame, place, to_end < sizeof frame ? 8 : sizeof frame);
    const bool fits = frame.size % 8 == 0 && frame.size >= 8 && frame.size <= to_end &&
                      frame.size <= ready && ready <= kQueueSize;
    if (fits && frame.kind == Kind::skip && !has_skipped) {
      read_ += frame.size;
      has_skipped = true;
      continue;
    }
    if (!fits || frame.kind == Kind::skip || frame.length > kMaxFrame ||
        frame.size != frame_size(frame.length)) {
      throw Error(ErrorCode::protocol, "The peer left a frame in its queue (local) that is none");
    }
    current_ = frame.size;
    arrival.data = {place + sizeof(Frame), frame.length};
    return arrival;
  }
}

bool QueueReader::pop() noexcept {
  read_ += current_;
  state_.read.store(read_, std::memory_order_seq_cst);
  if (state_.writer_waits.load(std::memory_order_seq_cst) == 0) return false;
  const std::uint64_t left = state_.written.load(std::memory_order_acquire) - read_;
  return left <= kQueueSize / 2 && state_.writer_waits.exchange(0) != 0;
}

bool QueueReader::is_empty() const noexcept {
  return state_.written.load(std::memory_order_seq_cst) == read_;
}

bool QueueReader::prepare_to_sleep() noexcept {
  // A thread at the doorbell would not hear of it any more: it has to look who listens now.
  const std::uint32_t before = state_.reader_sleeps.exchange(kAtSocket);
  if (before == Doorbell::kAsleep) Doorbell::wake(state_.reader_sleeps);
  asleep_ = true;
  return is_empty();
}

bool QueueReader::prepare_doorbell() noexcept {
  state_.reader_sleeps.store(Doorbell::kAsleep, std::memory_order_seq_cst);
  asleep_ = false;
  if (is_empty()) return true;
  state_.reader_sleeps.store(0);
  return false;
}

std::shared_ptr<Doorbell> QueueReader::doorbell() const {
  return std::make_shared<Doorbell>(memory_, state_.reader_sleeps);
}

bool QueueReader::stay_awake() noexcept {
  return std::exchange(asleep_, false) && state_.reader_sleeps.exchange(0) == 0;
}

}  // namespace grainfabric::transport::local
