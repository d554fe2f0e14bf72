// SPDX-License-Identifier: Apache-2.0
#include "transport/interface.hpp"
#include "transport/udp/endpoint.hpp"
#include "transport/udp/udp.hpp"

namespace grainfabric::transport::udp {
namespace {

class UdpDomain final : public Domain {
 public:
  explicit UdpDomain(const DomainOptions& options) : device_(std::make_shared<Device>(options)) {}

  [[nodiscard]] const Capabilities& capabilities() const noexcept override {
    return device_->capabilities;
  }
  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory,
                                                Access access) override {
    return std::make_unique<KeyedRegistration>(device_->registry, memory, access);
  }
  std::unique_ptr<Endpoint> accept(const Token& token, EndpointEvents& events) override {
    return std::make_unique<UdpEndpoint>(device_, token, events);
  }
  std::unique_ptr<Endpoint> connect(const Address& peer, const Token& token,
                                    EndpointEvents& events) override {
    return std::make_unique<UdpEndpoint>(device_, peer, token, events);
  }

 private:
  std::shared_ptr<Device> device_;
};

class UdpTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override { return {kProvider}; }
  [[nodiscard]] std::vector<DeviceInfo> devices() const override {
    std::vector<DeviceInfo> all;
    for (const LocalAddress& one : local_addresses()) {
      all.push_back({kProvider, one.interface, one.text});
    }
    return all;
  }
  std::unique_ptr<Domain> open(const DomainOptions& options) override {
    return std::make_unique<UdpDomain>(options);
  }
};

}  // namespace

std::unique_ptr<Transport> make_transport() {
  return std::make_unique<UdpTransport>();
}

}  // namespace grainfabric::transport::udp
