// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/token.hpp"
#include "transport/ofi/endpoint.hpp"
#include "transport/ofi/message.hpp"
#include "transport/ofi/process_peers.hpp"

namespace grainfabric::transport::ofi {

/// An endpoint over a provider of reliable datagrams (FI_EP_RDM: tcp;ofi_rxm, shm, efa), which has
/// no connections of its own: a first message and its answer make one, as message.hpp has it.
class DatagramEndpoint final : public OfiEndpoint {
 public:
  /// Waits for the one peer with the token. Throws Error.
  DatagramEndpoint(std::shared_ptr<const Device> device, const Token& token, EndpointEvents& user);
  /// Connects to `peer`. Throws Error for an address that cannot be.
  DatagramEndpoint(std::shared_ptr<const Device> device, const Address& peer, const Token& token,
                   EndpointEvents& user);
  ~DatagramEndpoint() override;

 private:
  void open();
  void insert(const Address& peer);
  bool drive() override;
  void close() noexcept override;
  [[nodiscard]] Channel* channel() const noexcept override {
    return objects_ ? objects_->channel.get() : nullptr;
  }
  void add_waitables(std::vector<int>* fds, std::vector<fid_t>* objects) const override;
  Posted send_message(Channel& channel, std::span<const std::byte> message,
                      std::uint64_t context) override;
  Posted post_write(Channel& channel, std::span<const LocalPiece> pieces,
                    std::uint64_t target_address, std::uint64_t key,
                    std::optional<std::uint32_t> immediate, std::uint64_t context) override;
  Posted post_inject(Channel& channel, std::span<const std::byte> data,
                     std::uint64_t target_address, std::uint64_t key,
                     std::uint32_t immediate) override;
  /// Sends the immediates of writes that have been posted, where they travel as messages.
  bool send_announcements();
  void channel_message(std::span<const std::byte> raw) override;
  void on_hello(std::span<const std::byte> body);
  /// Sends what is due of the handshake; the provider says "again" while it connects beneath.
  bool send_due();

  Token token_;
  const bool connects_;  // or accepts
  std::optional<MessageKind> due_;
  std::deque<std::uint32_t> unannounced_;  // see announces_by_message()
  Address own_;
  fi_addr_t peer_ = FI_ADDR_UNSPEC;
  Address peer_address_;                           // once known
  std::shared_ptr<DatagramObjects> objects_;       // null once closed
  std::shared_ptr<DatagramObjects> process_peer_;  // the peer's, where it is in this process
};

}  // namespace grainfabric::transport::ofi
