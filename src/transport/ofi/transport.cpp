// SPDX-License-Identifier: Apache-2.0
#include "transport/transport.hpp"

#include <cstdlib>

#include "transport/ofi/connected_endpoint.hpp"
#include "transport/ofi/datagram_endpoint.hpp"
#include "transport/ofi/info.hpp"
#include "transport/ofi/provider.hpp"
#include "transport/ofi/registration.hpp"

/// The transport over libfabric, and the module's one symbol.
namespace grainfabric::transport::ofi {
namespace {

class OfiDomain final : public Domain {
 public:
  explicit OfiDomain(const DomainOptions& options)
      : device_(std::make_shared<const Device>(options)) {}

  [[nodiscard]] const Capabilities& capabilities() const noexcept override {
    return device_->capabilities();
  }

  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory,
                                                Access access) override {
    return std::make_unique<OfiRegistration>(device_, memory, access);
  }

  std::unique_ptr<Endpoint> accept(const Token& token, EndpointEvents& events) override {
    if (device_->is_connected_type()) {
      return std::make_unique<ConnectionAcceptor>(device_, token, events);
    }
    return std::make_unique<DatagramEndpoint>(device_, token, events);
  }

  std::unique_ptr<Endpoint> connect(const Address& peer, const Token& token,
                                    EndpointEvents& events) override {
    if (device_->is_connected_type()) {
      return std::make_unique<ConnectionInitiator>(device_, peer, token, events);
    }
    return std::make_unique<DatagramEndpoint>(device_, peer, token, events);
  }

 private:
  std::shared_ptr<const Device> device_;
};

class OfiTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override {
    std::vector<std::string> names;
    for (const std::string& provider : provider_names()) names.push_back(public_name(provider));
    return names;
  }
  [[nodiscard]] std::vector<DeviceInfo> devices() const override { return list_devices(); }
  [[nodiscard]] std::string library() const override { return library_version(); }
  std::unique_ptr<Domain> open(const DomainOptions& options) override {
    return std::make_unique<OfiDomain>(options);
  }
};

}  // namespace
}  // namespace grainfabric::transport::ofi

extern "C" __attribute__((visibility("default"))) grainfabric::transport::Transport*
grainfabric_transport_1() {
  // libfabric would keep memory registered that this side has withdrawn, its key still open, and to
  // learn of what is unmapped it writes jumps into munmap() and madvise() for the whole process.
  // The engine has a cache of its own. Before libfabric reads its environment; who sets it has his
  // way.
  ::setenv("FI_MR_CACHE_MAX_COUNT", "0", 0);
  return new grainfabric::transport::ofi::OfiTransport;  // owned by the Table
}
