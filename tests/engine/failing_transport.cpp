// SPDX-License-Identifier: Apache-2.0
/// A transport module in the place of "verbs" that fails where a broken host or network would:
/// GRAINFABRIC_TEST_FAILS says at which step.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/fd.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport {
namespace {

/// "open", "open-second" (the initiator's, where the target opens first), "register",
/// "register-ring" (more than a credit's eight bytes), "connect", "connect-silent" (without a
/// word).
bool fails_at(const char* step) {
  const char* asked = std::getenv("GRAINFABRIC_TEST_FAILS");
  return asked != nullptr && std::strcmp(asked, step) == 0;
}

class FailingRegistration final : public Registration {
 public:
  explicit FailingRegistration(std::size_t size) : size_(size) {}
  [[nodiscard]] RemoteMemory remote() const noexcept override { return {0, size_, 1}; }

 private:
  std::size_t size_;
};

/// Nobody ever connects to it, and its own connecting is refused.
class FailingEndpoint final : public Endpoint {
 public:
  FailingEndpoint(EndpointEvents& user, bool connects)
      : user_(user),
        wake_(::eventfd(connects && !fails_at("connect-silent") ? 1 : 0,
                        EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!connects) address_ = {"nowhere", {std::byte{1}}};
  }

  [[nodiscard]] const Address& address() const noexcept override { return address_; }
  Posted write(std::span<const LocalPiece>, std::uint64_t, std::uint64_t,
               std::optional<std::uint32_t>, std::uint64_t) override {
    return Posted::failed;
  }
  Posted inject_write(std::span<const std::byte>, std::uint64_t, std::uint64_t,
                      std::uint32_t) override {
    return Posted::failed;
  }
  Posted read(const LocalPiece&, std::uint64_t, std::uint64_t, std::uint64_t) override {
    return Posted::failed;
  }
  Posted send(std::span<const std::byte>, std::uint64_t) override { return Posted::failed; }

  void append_fds(std::vector<int>* fds) const override { fds->push_back(wake_.get()); }
  bool arm() override { return true; }
  bool progress() override {
    eventfd_t value = 0;
    if (::eventfd_read(wake_.get(), &value) != 0) return false;
    user_.on_closed(Error(ErrorCode::timed_out, "The way is blocked", "Open it."));
    return true;
  }

 private:
  EndpointEvents& user_;
  UniqueFd wake_;
  Address address_;
};

class FailingDomain final : public Domain {
 public:
  FailingDomain() {
    can_.provider = "verbs";
    can_.interface = "broken0";
    can_.max_write = can_.max_send = can_.max_inject = 1U << 30U;
    can_.max_pieces = 8;
    can_.write_depth = 8;
    can_.ordered = true;
  }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return can_; }
  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory, Access) override {
    if (fails_at("register") || (fails_at("register-ring") && memory.size() > 4096)) {
      throw Error(ErrorCode::locked_memory_limit, "Cannot pin a byte", "Raise the limit.");
    }
    return std::make_unique<FailingRegistration>(memory.size());
  }
  std::unique_ptr<Endpoint> accept(const Token&, EndpointEvents& events) override {
    return std::make_unique<FailingEndpoint>(events, false);
  }
  std::unique_ptr<Endpoint> connect(const Address&, const Token&, EndpointEvents& events) override {
    return std::make_unique<FailingEndpoint>(events, true);
  }

 private:
  Capabilities can_;
};

class FailingTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override { return {"verbs"}; }
  std::unique_ptr<Domain> open(const DomainOptions&) override {
    if (fails_at("open") || (fails_at("open-second") && ++opened_ % 2 == 0)) {
      throw Error(ErrorCode::io, "The device does not answer", "Look at the cable.");
    }
    return std::make_unique<FailingDomain>();
  }

 private:
  int opened_ = 0;
};

}  // namespace
}  // namespace grainfabric::transport

extern "C" __attribute__((visibility("default"))) grainfabric::transport::Transport*
grainfabric_transport_1() {
  return new grainfabric::transport::FailingTransport;  // owned by the Table
}
