// SPDX-License-Identifier: Apache-2.0
/// A transport module in the place of "ofi" whose provider "null" moves nothing: of a write only
/// the first piece arrives (a grain's header), together with its immediate. What is left is the
/// engine's own work. Both ends live in one process, on threads of their own.
#include <sys/eventfd.h>

#include <array>
#include <cstring>
#include <map>
#include <mutex>

#include "base/fd.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport {
namespace {

constexpr std::size_t kDepth = 256;
constexpr std::size_t kHeader = 4096;  // at most; what is longer is payload

/// One direction: what was announced and not yet taken.
class Lane {
 public:
  void put(std::uint32_t immediate) {
    const std::lock_guard lock(mutex_);
    if (written_ == read_) ::eventfd_write(wake_.get(), 1);
    immediates_[written_++ % kDepth] = immediate;
  }
  bool take(std::uint32_t* immediate) {
    const std::lock_guard lock(mutex_);
    if (written_ == read_) return false;
    *immediate = immediates_[read_++ % kDepth];
    eventfd_t value = 0;
    if (written_ == read_) ::eventfd_read(wake_.get(), &value);
    return true;
  }
  [[nodiscard]] int fd() const noexcept { return wake_.get(); }

 private:
  std::mutex mutex_;
  std::array<std::uint32_t, kDepth> immediates_{};
  std::size_t written_ = 0;
  std::size_t read_ = 0;
  UniqueFd wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

struct Connection {
  std::array<Lane, 2> lanes;
};

/// Addresses of those who wait for a peer.
class Exchange {
 public:
  static Exchange& shared() {
    static Exchange exchange;
    return exchange;
  }
  std::uint8_t offer(const std::shared_ptr<Connection>& connection) {
    const std::lock_guard lock(mutex_);
    waiting_[++last_] = connection;
    return last_;
  }
  std::shared_ptr<Connection> find(std::uint8_t number) {
    const std::lock_guard lock(mutex_);
    return waiting_[number];
  }

 private:
  std::mutex mutex_;
  std::uint8_t last_ = 0;
  std::map<std::uint8_t, std::shared_ptr<Connection>> waiting_;
};

class NullRegistration final : public Registration {
 public:
  explicit NullRegistration(std::span<std::byte> memory) : memory_(memory) {}
  [[nodiscard]] RemoteMemory remote() const noexcept override {
    return {reinterpret_cast<std::uintptr_t>(memory_.data()), memory_.size(), 1};
  }

 private:
  std::span<std::byte> memory_;
};

class NullEndpoint final : public Endpoint {
 public:
  NullEndpoint(EndpointEvents& user, const Address* peer) : user_(user), own_(peer ? 1 : 0) {
    if (peer == nullptr) {
      connection_ = std::make_shared<Connection>();
      address_ = {"null", {std::byte{Exchange::shared().offer(connection_)}}};
    } else {
      connection_ = Exchange::shared().find(std::to_integer<std::uint8_t>(peer->bytes.at(0)));
      connection_->lanes[1 - own_].put(kHello);
      connected_ = true;
      pending_hello_ = true;
    }
  }
  [[nodiscard]] const Address& address() const noexcept override { return address_; }
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t address, std::uint64_t,
               std::optional<std::uint32_t> immediate, std::uint64_t context) override {
    if (pieces[0].size <= kHeader) {
      std::memcpy(reinterpret_cast<void*>(address), pieces[0].data, pieces[0].size);
    }
    if (immediate) connection_->lanes[1 - own_].put(*immediate);
    completed_[completed_count_++ % kDepth] = context;
    return Posted::ok;
  }
  Posted inject_write(std::span<const std::byte>, std::uint64_t, std::uint64_t,
                      std::uint32_t immediate) override {
    connection_->lanes[1 - own_].put(immediate);
    return Posted::ok;
  }
  Posted read(const LocalPiece&, std::uint64_t, std::uint64_t, std::uint64_t) override {
    return Posted::failed;
  }
  Posted send(std::span<const std::byte>, std::uint64_t) override { return Posted::failed; }

  void append_fds(std::vector<int>* fds) const override { fds->push_back(lane().fd()); }
  bool arm() override { return completed_count_ == reported_ && !pending_hello_; }
  bool progress() override {
    if (std::exchange(pending_hello_, false)) user_.on_connected();
    while (reported_ < completed_count_) user_.on_completed(completed_[reported_++ % kDepth]);
    bool done = false;
    for (std::uint32_t immediate = 0; lane().take(&immediate); done = true) {
      if (immediate != kHello) {
        user_.on_immediate(immediate);
      } else if (!std::exchange(connected_, true)) {
        user_.on_connected();
      }
    }
    return done;
  }

 private:
  static constexpr std::uint32_t kHello = 0xFFFFFFFF;
  [[nodiscard]] Lane& lane() const { return connection_->lanes[own_]; }

  EndpointEvents& user_;
  const std::size_t own_;
  std::shared_ptr<Connection> connection_;
  Address address_;
  bool connected_ = false;
  bool pending_hello_ = false;
  std::array<std::uint64_t, kDepth> completed_{};
  std::size_t completed_count_ = 0;
  std::size_t reported_ = 0;
};

class NullDomain final : public Domain {
 public:
  NullDomain() {
    can_.provider = "null";
    can_.interface = "none";
    can_.max_write = can_.max_send = can_.max_inject = 1U << 30U;
    can_.piece_size = can_.max_write;  // nothing is gained by cutting what is not copied
    can_.max_pieces = 8;
    can_.write_depth = kDepth;
    can_.ordered = true;
  }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return can_; }
  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory, Access) override {
    return std::make_unique<NullRegistration>(memory);
  }
  std::unique_ptr<Endpoint> accept(const Token&, EndpointEvents& events) override {
    return std::make_unique<NullEndpoint>(events, nullptr);
  }
  std::unique_ptr<Endpoint> connect(const Address& peer, const Token&,
                                    EndpointEvents& events) override {
    return std::make_unique<NullEndpoint>(events, &peer);
  }

 private:
  Capabilities can_;
};

class NullTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override { return {"null"}; }
  std::unique_ptr<Domain> open(const DomainOptions&) override {
    return std::make_unique<NullDomain>();
  }
};

}  // namespace
}  // namespace grainfabric::transport

extern "C" __attribute__((visibility("default"))) grainfabric::transport::Transport*
grainfabric_transport_1() {
  return new grainfabric::transport::NullTransport;  // owned by the Table
}
