// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "transport/ofi/bounded_locks.hpp"
#include "transport/ofi/device.hpp"
#include "transport/ofi/fid.hpp"
#include "transport/ofi/limits.hpp"
#include "transport/ofi/message_buffers.hpp"
#include "transport/ofi/operations.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport::ofi {

/// What a Channel tells its owner, from inside drain() or, for channel_failed(), any member.
/// None may destroy the Channel; all may post.
class ChannelEvents {
 public:
  virtual void channel_completed(std::uint64_t user) = 0;
  virtual void channel_immediate(std::uint32_t immediate) = 0;
  /// Valid during the call.
  virtual void channel_message(std::span<const std::byte> message) = 0;
  /// Possibly several times: each transfer in flight fails by itself.
  virtual void channel_failed(const Error& reason) = 0;

 protected:
  ~ChannelEvents() = default;
};

/// One libfabric endpoint with its completion queue and everything posted to it: how data moves,
/// once somebody else has arranged with whom. One thread.
class Channel {
 public:
  /// Opens an endpoint on `info`, bound to `events` queue or `addresses` table (borrowed, may be
  /// null, outlive the channel), enables it and posts its receives. `name` is for messages: both
  /// ends. Throws Error.
  Channel(std::shared_ptr<const Device> device, fi_info& info, fid_eq* events, fid_av* addresses,
          std::string name, ChannelEvents& user);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] fid_ep* endpoint() const noexcept { return endpoint_.get(); }
  [[nodiscard]] fid_t queue() const noexcept { return completions_.base(); }
  /// -1 where the provider does not sleep.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  void set_name(std::string name) { name_ = std::move(name); }
  /// Connectionless endpoints: where everything goes.
  void set_peer(fi_addr_t peer) noexcept { peer_ = peer; }

  // As Endpoint has them.
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context);
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::optional<std::uint32_t> immediate);
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context);
  /// Sends `head` and `body` as one message; `user` completes, nothing does without.
  Posted send(std::span<const std::byte> head, std::span<const std::byte> body,
              std::optional<std::uint64_t> user);
  /// Sends a last word if that is possible at once.
  void try_inject(std::span<const std::byte> message) noexcept;

  /// Serves at most `limit` completions; returns how many.
  std::size_t drain(std::size_t limit);
  /// Receives that could not be posted again yet; drain() tries.
  [[nodiscard]] bool lacks_receives() const noexcept { return !unposted_.empty(); }

 private:
  void open_endpoint(fi_info& info, fid_eq* events, fid_av* addresses);
  void post_receives(std::size_t count);
  void repost_receives();
  void post_receive(Operation& operation);
  void serve(const fi_cq_data_entry& entry);
  void serve_receive(Operation& operation, std::size_t size);
  void serve_failure();
  void retire(Operation& operation);
  /// What the return code of a post means; gives `operation` back unless it was accepted.
  Posted conclude(ssize_t result, Operation* operation, const char* what,
                  const BoundedLocks& locks);
  /// The connection is over if a lock had to be taken from the peer.
  bool lost_to(const BoundedLocks& locks);
  Posted reject(const std::string& why);

  std::shared_ptr<const Device> device_;
  std::string name_;
  ChannelEvents& user_;
  const std::size_t receive_depth_;
  const bool shares_locks_;
  Operations operations_;
  MessageBuffers buffers_;  // receives first, then sends
  std::vector<std::uint32_t> free_sends_;
  std::vector<Operation*> unposted_;
  std::vector<iovec> vectors_;      // of the write being posted
  std::vector<void*> descriptors_;  // likewise
  fi_addr_t peer_ = FI_ADDR_UNSPEC;
  Fid<fid_cq> completions_;
  int fd_ = -1;
  Fid<fid_ep> endpoint_;  // closed first: queues and buffers are in use until then
};

}  // namespace grainfabric::transport::ofi
