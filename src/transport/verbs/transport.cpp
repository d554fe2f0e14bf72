// SPDX-License-Identifier: Apache-2.0
#include "transport/transport.hpp"

#include "transport/verbs/acceptor.hpp"
#include "transport/verbs/device_address.hpp"
#include "transport/verbs/handles.hpp"
#include "transport/verbs/initiator.hpp"
#include "transport/verbs/registration.hpp"

/// The transport over rdma-core (libibverbs, librdmacm), and the module's one symbol.
namespace grainfabric::transport::verbs {
namespace {

class VerbsDomain final : public Domain {
 public:
  explicit VerbsDomain(const DomainOptions& options) : device_(std::make_shared<Device>(options)) {}

  [[nodiscard]] const Capabilities& capabilities() const noexcept override {
    return device_->capabilities();
  }
  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory,
                                                Access access) override {
    return std::make_unique<VerbsRegistration>(device_, memory, access);
  }
  std::unique_ptr<Endpoint> accept(const Token& token, EndpointEvents& events) override {
    return std::make_unique<Acceptor>(device_, token, events);
  }
  std::unique_ptr<Endpoint> connect(const Address& peer, const Token& token,
                                    EndpointEvents& events) override {
    return std::make_unique<Initiator>(device_, peer, token, events);
  }

 private:
  std::shared_ptr<Device> device_;
};

class VerbsTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override {
    if (DeviceList().empty()) return {};
    return {"verbs"};
  }
  [[nodiscard]] std::vector<DeviceInfo> devices() const override {
    std::vector<DeviceInfo> all;
    for (const DeviceAddress& one : device_addresses()) {
      all.push_back({"verbs", one.device, one.address.text()});
    }
    return all;
  }
  [[nodiscard]] std::string library() const override { return "rdma-core"; }
  std::unique_ptr<Domain> open(const DomainOptions& options) override {
    return std::make_unique<VerbsDomain>(options);
  }
};

}  // namespace
}  // namespace grainfabric::transport::verbs

extern "C" __attribute__((visibility("default"))) grainfabric::transport::Transport*
grainfabric_transport_1() {
  return new grainfabric::transport::verbs::VerbsTransport;  // owned by the Table
}
