// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "transport/udp/congestion.hpp"
#include "transport/udp/inbox.hpp"
#include "transport/udp/outbox.hpp"
#include "transport/udp/path_size.hpp"
#include "transport/udp/send_batch.hpp"
#include "transport/udp/sent_packets.hpp"

namespace grainfabric::transport::udp {

/// Datagrams that were dropped, by reason.
struct Drops {
  std::uint64_t malformed = 0;
  std::uint64_t foreign = 0;  ///< Not of this connection.
  std::uint64_t replayed = 0;
  std::uint64_t out_of_window = 0;
  std::uint64_t bad_memory = 0;
  std::uint64_t wrong_token = 0;
};

/// What the two sides agreed on.
struct ConnectionOptions {
  std::uint64_t own_id = 0;
  std::uint64_t peer_id = 0;
  std::size_t peer_window = 0;       ///< Bytes that the peer's socket holds.
  std::size_t largest_datagram = 0;  ///< That the local interface sends.
  std::string peer;                  ///< For errors.
  std::optional<Clock::duration> round_trip;
};

/// The protocol between two peers that have found each other: reliable, ordered in what it tells,
/// sharing the network fairly. Knows no socket and no clock: datagrams and times are given to it.
class Connection final : private Inbox::Events, private SentPackets::Events {
 public:
  class Events {
   public:
    virtual void on_completed(std::uint64_t context) = 0;
    virtual void on_immediate(std::uint32_t immediate) = 0;
    virtual void on_message(std::span<const std::byte> message) = 0;
    /// Of no more use from now on.
    virtual void on_failed(const Error& reason) = 0;

   protected:
    ~Events() = default;
  };

  Connection(std::shared_ptr<const Registry> registry, ConnectionOptions options, Events& events,
             TimePoint now);

  [[nodiscard]] Outbox& outbox() noexcept { return outbox_; }
  /// False: too many reads under way.
  bool read(std::byte* to, std::size_t size, std::uint64_t address, std::uint64_t key,
            std::uint64_t context);

  /// Takes a datagram; the payload of a DATA packet may be in its place already.
  void receive(const Packet& packet, Drops* drops, TimePoint now);
  void receive(const Data& data, Drops* drops, TimePoint now);
  /// Whether receive() takes several datagrams as one: all of them are new.
  [[nodiscard]] bool takes_together(const Data& data) const noexcept {
    return data.connection == options_.own_id && data.number >= numbers_.highest();
  }
  [[nodiscard]] const Inbox& inbox() const noexcept { return inbox_; }

  /// Adds what may be sent now to the batch. False: nothing.
  bool fill(SendBatch* batch, TimePoint now);
  /// These, of batch.numbers(), were not sent; errno says why.
  void not_sent(std::span<const std::uint64_t> numbers, int error, TimePoint now);
  /// The peer's host says that nobody has this port; believed after a short silence.
  void on_refused(TimePoint now);

  /// When on_time() is to be called at the latest.
  [[nodiscard]] TimePoint deadline() const noexcept;
  void on_time(TimePoint now);
  /// Whether fill() would find something at once.
  [[nodiscard]] bool wants_to_send(TimePoint now) noexcept;

  [[nodiscard]] const ConnectionOptions& options() const noexcept { return options_; }
  [[nodiscard]] const Congestion& congestion() const noexcept { return congestion_; }
  [[nodiscard]] const PathSize& path() const noexcept { return path_; }
  [[nodiscard]] const Rtt& rtt() const noexcept { return rtt_; }
  [[nodiscard]] std::uint64_t packets_lost() const noexcept { return packets_lost_; }

 private:
  void receive(const Ack& ack, Drops* drops, TimePoint now);
  /// Whether the packet numbers from `number` on are new; notes what there is to acknowledge.
  bool take_numbers(std::uint64_t number, std::uint32_t count, bool wants_ack, Drops* drops,
                    TimePoint now);
  void add_ack(SendBatch* batch, TimePoint now);
  void add_ping(SendBatch* batch, std::size_t size, bool is_probe, TimePoint now);
  bool add_chunk(SendBatch* batch, TimePoint now);
  [[nodiscard]] std::size_t window() const noexcept;
  [[nodiscard]] bool may_send() const noexcept;
  void on_probe_timeout(TimePoint now);
  void on_black_hole(TimePoint now);

  void on_landed_immediate(std::uint32_t immediate) override { events_.on_immediate(immediate); }
  void on_landed_message(std::span<const std::byte> message) override {
    events_.on_message(message);
  }
  Inbox::Taken on_read_request(const ReadRequest& request) override;
  Inbox::Taken on_read_done(std::uint64_t number, std::uint64_t context) override;
  void on_packet_acked(std::uint64_t number, const SentPacket& packet) override;
  void on_packet_lost(std::uint64_t number, const SentPacket& packet) override;
  void on_packet_late(TimePoint sent) override { congestion_.on_late(sent); }

  std::shared_ptr<const Registry> registry_;
  ConnectionOptions options_;
  Events& events_;
  Outbox outbox_;
  Inbox inbox_;
  SentPackets sent_;
  Rtt rtt_;
  Congestion congestion_;
  PathSize path_;

  // Receiving.
  Ranges numbers_;
  TimePoint largest_at_{};
  bool ack_now_ = false;
  std::optional<TimePoint> ack_at_;
  std::uint64_t acks_sent_ = 0;
  std::uint64_t last_ack_ = 0;
  TimePoint heard_;
  std::optional<TimePoint> refused_at_;

  // Sending.
  std::size_t unflagged_ = 0;  // bytes sent since the last that asked for an ACK
  bool window_limited_ = false;
  bool ping_wanted_ = false;
  int extra_packets_ = 0;  // that may go beyond the window
  int timeouts_ = 0;       // without an ACK between
  TimePoint first_timeout_{};
  bool collapsed_ = false;   // since then
  bool black_hole_ = false;  // since then
  std::uint64_t packets_lost_ = 0;
  TimePoint now_{};
};

}  // namespace grainfabric::transport::udp
