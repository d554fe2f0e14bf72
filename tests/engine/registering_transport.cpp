// SPDX-License-Identifier: Apache-2.0
/// A transport module in the place of "verbs" that has what RDMA devices have: it writes from
/// registered memory only, and the registration must be there until the write is complete. It ends
/// the process where one is not. What carries the bytes is udp.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "transport/table.hpp"

namespace grainfabric::transport {
namespace {

[[noreturn]] void die(const char* why) {
  std::fprintf(stderr, "registering transport: %s\n", why);
  std::abort();
}

class CheckedRegistration final : public Registration {
 public:
  CheckedRegistration(std::unique_ptr<Registration> below, std::span<const std::byte> memory)
      : below_(std::move(below)), memory_(memory) {
    all().insert(this);
  }
  ~CheckedRegistration() override {
    if (in_flight_ > 0) die("memory is withdrawn while it is read");
    all().erase(this);
  }
  [[nodiscard]] RemoteMemory remote() const noexcept override { return below_->remote(); }

  /// The one behind a piece that may be posted; ends the process for any other.
  static CheckedRegistration& of(const LocalPiece& piece) {
    const auto found = std::find(all().begin(), all().end(), piece.registration);
    if (found == all().end()) die("a piece has no registration that lives");
    CheckedRegistration& self = **found;
    if (piece.data < self.memory_.data() ||
        piece.data + piece.size > self.memory_.data() + self.memory_.size()) {
      die("a piece is not in the memory that its registration covers");
    }
    return self;
  }
  void begin() { ++in_flight_; }
  void end() { --in_flight_; }

 private:
  static std::set<CheckedRegistration*>& all() {
    static std::set<CheckedRegistration*> registrations;  // loop thread only
    return registrations;
  }

  const std::unique_ptr<Registration> below_;
  const std::span<const std::byte> memory_;
  int in_flight_ = 0;
};

class RegisteringEndpoint final : public Endpoint, private EndpointEvents {
 public:
  explicit RegisteringEndpoint(EndpointEvents& user) : user_(user) {}
  ~RegisteringEndpoint() override {
    below.reset();
    for (const auto& [context, registrations] : in_flight_) {
      for (CheckedRegistration* one : registrations) one->end();
    }
  }
  EndpointEvents& events() { return *this; }

  [[nodiscard]] const Address& address() const noexcept override { return below->address(); }
  Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address, std::uint64_t key,
               std::optional<std::uint32_t> immediate, std::uint64_t context) override {
    std::vector<LocalPiece> bare(pieces.begin(), pieces.end());
    std::vector<CheckedRegistration*> registrations;
    for (LocalPiece& piece : bare) {
      registrations.push_back(&CheckedRegistration::of(piece));
      registrations.back()->begin();
      piece.registration = nullptr;
    }
    in_flight_.emplace(context, std::move(registrations));
    const Posted posted = below->write(bare, target_address, key, immediate, context);
    if (posted != Posted::ok) on_end_of(context);
    return posted;
  }
  Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                      std::uint64_t key, std::uint32_t immediate) override {
    return below->inject_write(data, target_address, key, immediate);
  }
  Posted read(const LocalPiece& destination, std::uint64_t source_address, std::uint64_t key,
              std::uint64_t context) override {
    return below->read(destination, source_address, key, context);
  }
  Posted send(std::span<const std::byte> message, std::uint64_t context) override {
    return below->send(message, context);
  }
  void append_fds(std::vector<int>* fds) const override { below->append_fds(fds); }
  bool arm() override { return below->arm(); }
  bool progress() override { return below->progress(); }

  std::unique_ptr<Endpoint> below;

 private:
  void on_end_of(std::uint64_t context) {
    const auto found = in_flight_.lower_bound(context);
    if (found == in_flight_.end() || found->first != context) return;
    for (CheckedRegistration* one : found->second) one->end();
    in_flight_.erase(found);
  }

  void on_connected() override { user_.on_connected(); }
  void on_completed(std::uint64_t context) override {
    on_end_of(context);
    user_.on_completed(context);
  }
  void on_immediate(std::uint32_t immediate) override { user_.on_immediate(immediate); }
  void on_message(std::span<const std::byte> message) override { user_.on_message(message); }
  void on_closed(const Error& reason) override { user_.on_closed(reason); }

  EndpointEvents& user_;
  /// Pieces of one transfer may have the same context; the oldest of them is complete first.
  std::multimap<std::uint64_t, std::vector<CheckedRegistration*>> in_flight_;
};

class RegisteringDomain final : public Domain {
 public:
  explicit RegisteringDomain(std::unique_ptr<Domain> below)
      : below_(std::move(below)), can_(below_->capabilities()) {
    can_.provider = "verbs";
    can_.local_registration = true;
  }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return can_; }
  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory,
                                                Access access) override {
    return std::make_unique<CheckedRegistration>(below_->register_memory(memory, access), memory);
  }
  std::unique_ptr<Endpoint> accept(const Token& token, EndpointEvents& events) override {
    auto endpoint = std::make_unique<RegisteringEndpoint>(events);
    endpoint->below = below_->accept(token, endpoint->events());
    return endpoint;
  }
  std::unique_ptr<Endpoint> connect(const Address& peer, const Token& token,
                                    EndpointEvents& events) override {
    auto endpoint = std::make_unique<RegisteringEndpoint>(events);
    endpoint->below = below_->connect(peer, token, endpoint->events());
    return endpoint;
  }

 private:
  const std::unique_ptr<Domain> below_;
  Capabilities can_;
};

class RegisteringTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override { return {"verbs"}; }
  std::unique_ptr<Domain> open(const DomainOptions& options) override {
    return std::make_unique<RegisteringDomain>(
        Table::shared().open({"udp", options.local_address, {}}));
  }
};

}  // namespace
}  // namespace grainfabric::transport

extern "C" __attribute__((visibility("default"))) grainfabric::transport::Transport*
grainfabric_transport_1() {
  return new grainfabric::transport::RegisteringTransport;  // owned by the Table
}
