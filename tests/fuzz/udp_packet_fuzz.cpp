// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "transport/udp/connection.hpp"

/// Bytes of a stranger as datagrams: through the parser, and through all that a connection does
/// with them. The input is a row of datagrams, each after its length (16 bits, little-endian); the
/// connection id of the one under test is put in, since nobody would guess it. Nothing may be
/// written outside of the registered memory, whatever comes.
namespace grainfabric::transport::udp {
namespace {

constexpr std::uint64_t kOwnId = 0x1111;
constexpr std::size_t kMemory = 8192;
constexpr std::size_t kGuard = 4096;

class Nobody final : public Connection::Events {
 public:
  bool failed = false;
  void on_completed(std::uint64_t) override {}
  void on_immediate(std::uint32_t) override {}
  void on_message(std::span<const std::byte> message) override {
    if (message.size() > kMaxMessage) std::abort();
  }
  void on_failed(const Error&) override { failed = true; }
};

/// A connection in the middle of everything: writes, a message and a read are under way.
class Victim {
 public:
  Victim() {
    // A key that inputs can have.
    key_ = registry_->add(std::span(memory_).subspan(kGuard, kMemory));
    ConnectionOptions options;
    options.own_id = kOwnId;
    options.peer_id = 2;
    options.peer_window = 1 << 20;
    options.largest_datagram = 1472;
    options.peer = "fuzz";
    connection_ = std::make_unique<Connection>(registry_, options, events_, now_);
    const LocalPiece pieces[] = {{source_.data(), source_.size(), nullptr}};
    connection_->outbox().post_write(pieces, 0, 1, 1, 1);
    connection_->outbox().post_message(std::span(source_).first(3000), 2);
    connection_->read(read_.data() + kGuard, kMemory, 0, 1, 3);
    flush();
  }

  void receive(std::span<std::byte> datagram) {
    if (events_.failed) return;
    if (datagram.size() >= 16) std::memcpy(&datagram[8], &kOwnId, 8);
    // Key 1 in the input stands for the real one, which is random.
    std::uint64_t key = 0;
    if (datagram.size() >= kDataHeaderSize) std::memcpy(&key, &datagram[40], 8);
    if (key == 1) std::memcpy(&datagram[40], &key_, 8);
    now_ += 1ms;
    connection_->receive(parse(datagram), &drops_, now_);
    if (events_.failed) return;
    if (now_ >= connection_->deadline()) connection_->on_time(now_);
    flush();
    check();
  }

 private:
  void flush() {
    static SendBatch batch;  // costly to make, and begun anew each time
    for (int i = 0; i < 4 && !events_.failed && connection_->wants_to_send(now_); ++i) {
      batch.begin(true);
      connection_->fill(&batch, now_);
    }
  }
  void check() const {
    for (const auto* memory : {&memory_, &read_}) {
      const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
      if (!std::all_of(memory->begin(), memory->begin() + kGuard, is_zero) ||
          !std::all_of(memory->end() - kGuard, memory->end(), is_zero)) {
        std::abort();
      }
    }
  }

  TimePoint now_ = TimePoint{} + 1000s;
  std::vector<std::byte> memory_ = std::vector<std::byte>(kMemory + 2 * kGuard);
  std::vector<std::byte> read_ = std::vector<std::byte>(kMemory + 2 * kGuard);
  std::vector<std::byte> source_ = std::vector<std::byte>(20'000);
  std::shared_ptr<Registry> registry_ = std::make_shared<Registry>();
  std::uint64_t key_ = 0;
  Nobody events_;
  Drops drops_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace
}  // namespace grainfabric::transport::udp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace grainfabric::transport::udp;
  std::vector<std::byte> input(size);
  if (size > 0) std::memcpy(input.data(), data, size);
  static_cast<void>(parse(input));
  Victim victim;
  for (std::span<std::byte> rest(input); rest.size() > 2;) {
    const std::size_t length =
        std::to_integer<std::size_t>(rest[0]) | std::to_integer<std::size_t>(rest[1]) << 8U;
    rest = rest.subspan(2);
    const std::size_t taken = std::min(length, rest.size());
    victim.receive(rest.first(taken));
    rest = rest.subspan(taken);
  }
  return 0;
}
