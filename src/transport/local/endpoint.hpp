// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "transport/local/limits.hpp"
#include "transport/local/queue.hpp"
#include "transport/local/socket.hpp"
#include "transport/registry.hpp"
#include "transport/transport.hpp"
#include "transport/wake_up.hpp"

namespace grainfabric::transport::local {

/// What the endpoints of one Domain share.
struct Device {
  Capabilities capabilities;
  std::string socket_directory;
  std::shared_ptr<Registry> registry = std::make_shared<Registry>();
};

/// One end of a connection: a Unix socket and, once the token was shown, two queues. One thread.
///
/// A failure is only noted where it is found, which may be in one of the user's own posts;
/// progress() closes at its end and says so once.
class LocalEndpoint final : public Endpoint {
 public:
  /// Accepts the peer with the token.
  LocalEndpoint(std::shared_ptr<Device> device, const Token& token, EndpointEvents& user);
  /// Connects to it.
  LocalEndpoint(std::shared_ptr<Device> device, const Address& peer, const Token& token,
                EndpointEvents& user);
  ~LocalEndpoint() override;
  LocalEndpoint(const LocalEndpoint&) = delete;
  LocalEndpoint& operator=(const LocalEndpoint&) = delete;

  [[nodiscard]] const Address& address() const noexcept override { return address_; }
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context) override;
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::uint32_t immediate) override;
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context) override;
  Posted send(std::span<const std::byte> message, std::uint64_t context) override;
  Posted share(std::uint32_t id, int file) override;
  Posted unshare(std::uint32_t id) override;
  [[nodiscard]] UniqueFd lifeline() const override;

  bool attend(std::chrono::milliseconds how_long) override;
  bool prepare_doorbell() override;
  [[nodiscard]] std::shared_ptr<Doorbell> doorbell() const override;

  void append_fds(std::vector<int>* fds) const override;
  bool arm() override;
  bool progress() override;

 private:
  /// Data that waits for room in the queue: a write, or the answer to a peer's read.
  struct Outgoing {
    Frame frame;  // of the next part; of an answer, it also says where that is
    std::array<LocalPiece, kMaxPieces> pieces;
    std::size_t piece_count = 0;
    std::size_t done = 0;
    std::optional<std::uint32_t> immediate;
    std::optional<std::uint64_t> context;  // of what completes
  };
  struct Reading {
    std::byte* destination = nullptr;
    std::size_t left = 0;
    std::uint64_t context = 0;
  };

  // Finding each other.
  bool welcome_strangers();
  bool admit(UniqueFd& stranger);
  bool greet();

  // Connected.
  void open_queues(std::shared_ptr<QueueMemory> memory, std::size_t own_direction);
  bool take_frames();
  void take(const QueueReader::Arrival& arrival);
  void take_write(const QueueReader::Arrival& arrival);
  void take_read(const Frame& frame);
  void take_answer(const QueueReader::Arrival& arrival);
  void take_share(const Frame& frame);
  bool take_packets();
  bool send_waiting();
  bool send_part(Outgoing* outgoing);
  bool complete();
  bool serve();
  void expire_attendance();
  void commit(const Frame& frame);
  void wake_peer() noexcept;

  /// Whether something may be posted; else `*why_not` says why.
  bool is_ready(Posted* why_not) const noexcept;
  Posted post_small(const Frame& frame, std::span<const std::byte> data);
  Posted refuse(const std::string& what);
  void fail(const Error& reason);
  void finish();
  void say_goodbye() noexcept;

  std::shared_ptr<Device> device_;
  EndpointEvents& user_;
  const Token token_;
  std::optional<SocketName> name_;
  Address address_;
  UniqueFd listener_;
  std::vector<UniqueFd> strangers_;
  UniqueFd socket_;
  WakeUp deadline_;  // until the peer has answered; then, of the attendance
  WakeUp::TimePoint give_up_{};
  std::shared_ptr<QueueMemory> greeting_;  // until then, too
  std::optional<QueueWriter> out_;
  std::optional<QueueReader> in_;
  std::deque<Outgoing> waiting_;
  std::vector<std::uint64_t> completed_;
  std::vector<std::uint64_t> completing_;
  std::map<std::uint64_t, Reading> readings_;
  std::uint64_t last_reading_ = 0;
  std::size_t answers_waiting_ = 0;
  std::map<std::uint32_t, UniqueFd> files_;  // received, not yet announced
  std::set<std::uint32_t> shared_;           // by the peer, at present
  bool peer_closed_ = false;
  mutable bool has_lifeline_ = false;
  std::optional<Error> failure_;
  bool is_attended_ = false;  // by a thread that looks again by …
  WakeUp::TimePoint attended_until_{};
  bool at_doorbell_ = false;  // … or sleeps until it is rung
  bool is_closed_ = false;
  bool in_progress_ = false;
};

}  // namespace grainfabric::transport::local
