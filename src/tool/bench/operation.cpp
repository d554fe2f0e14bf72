// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/operation.hpp"

#include <algorithm>
#include <deque>
#include <utility>

namespace grainfabric::tool {
namespace {

/// By the rail of the elements: pieces, a window, an immediate at the end.
class Writes final : public Performer {
 public:
  Writes(transport::Endpoint& endpoint, const transport::Capabilities& capabilities,
         RailOptions options, const Slots& slots, std::function<void(std::size_t)> completed)
      : rail_(endpoint, capabilities, options), slots_(slots), completed_(std::move(completed)) {}

  void begin(std::size_t slot) override {
    const std::span<std::byte> bytes = slots_.bytes(slot);
    Transfer transfer;
    transfer.pieces[0] = {bytes.data(), bytes.size(), slots_.registration};
    transfer.piece_count = 1;
    transfer.target_address = slots_.remote_address(slot);
    transfer.key = slots_.remote.key;
    transfer.subject = static_cast<std::uint16_t>(slot);
    transfer.done = [this, slot](bool written) {
      if (written) completed_(slot);
    };
    rail_.submit(std::move(transfer));
  }
  void on_completed(std::uint64_t context) override { rail_.on_completed(context); }
  void pump() override { rail_.pump(); }

 private:
  Rail rail_;
  Slots slots_;
  std::function<void(std::size_t)> completed_;
};

/// Posts from the front of `queue` until it is empty or the endpoint full. What comes back to here
/// out of a completion inside `post` only queues.
template <typename Item, typename Post>
void post_all(std::deque<Item>& queue, bool& posting, Post post) {
  if (posting) return;
  posting = true;
  while (!queue.empty()) {
    const Item item = queue.front();
    queue.pop_front();
    if (post(item) != transport::Posted::ok) {
      queue.push_front(item);
      break;
    }
  }
  posting = false;
}

/// Pieces of each message in turn, as many in flight as the endpoint takes.
class Reads final : public Performer {
 public:
  Reads(transport::Endpoint& endpoint, std::size_t piece_size, const Slots& slots,
        std::function<void(std::size_t)> completed)
      : endpoint_(endpoint),
        piece_size_(piece_size),
        slots_(slots),
        completed_(std::move(completed)) {
    missing_.resize(slots.local.size() / slots.size);
  }

  void begin(std::size_t slot) override {
    missing_[slot] = (slots_.size + piece_size_ - 1) / piece_size_;
    for (std::size_t at = 0; at < slots_.size; at += piece_size_) pieces_.push_back({slot, at});
    pump();
  }
  void on_completed(std::uint64_t slot) override {
    if (--missing_[slot] == 0) completed_(slot);
    pump();
  }
  void pump() override {
    post_all(pieces_, posting_, [this](const Piece& piece) {
      const std::size_t length = std::min(piece_size_, slots_.size - piece.at);
      return endpoint_.read(
          {slots_.bytes(piece.slot).data() + piece.at, length, slots_.registration},
          slots_.remote_address(piece.slot) + piece.at, slots_.remote.key, piece.slot);
    });
  }

 private:
  struct Piece {
    std::size_t slot;
    std::size_t at;
  };
  transport::Endpoint& endpoint_;
  std::size_t piece_size_;
  Slots slots_;
  std::function<void(std::size_t)> completed_;
  std::deque<Piece> pieces_;
  bool posting_ = false;
  std::vector<std::size_t> missing_;  // pieces, by slot
};

/// Each message one send.
class Sends final : public Performer {
 public:
  Sends(transport::Endpoint& endpoint, const Slots& slots) : endpoint_(endpoint), slots_(slots) {}

  void begin(std::size_t slot) override {
    waiting_.push_back(slot);
    pump();
  }
  void on_completed(std::uint64_t) override { pump(); }
  void pump() override {
    post_all(waiting_, posting_,
             [this](std::size_t slot) { return endpoint_.send(slots_.bytes(slot), slot); });
  }

 private:
  transport::Endpoint& endpoint_;
  Slots slots_;
  std::deque<std::size_t> waiting_;
  bool posting_ = false;
};

}  // namespace

std::unique_ptr<Performer> make_performer(Operation operation, transport::Endpoint& endpoint,
                                          const transport::Capabilities& capabilities,
                                          RailOptions options, Slots slots,
                                          std::function<void(std::size_t slot)> completed) {
  switch (operation) {
    case Operation::read:
      return std::make_unique<Reads>(endpoint, std::min(options.piece_size, capabilities.max_write),
                                     slots, std::move(completed));
    case Operation::send:
      return std::make_unique<Sends>(endpoint, slots);
    case Operation::write:
      break;
  }
  return std::make_unique<Writes>(endpoint, capabilities, options, slots, std::move(completed));
}

}  // namespace grainfabric::tool
