// SPDX-License-Identifier: Apache-2.0
#include <glib.h>
#include <sys/stat.h>

#include <fstream>

#include "base/glib_ptr.hpp"
#include "transport/local/endpoint.hpp"
#include "transport/local/local.hpp"

namespace grainfabric::transport::local {
namespace {

constexpr const char* kSocketDirectory = "socket-directory";

class LocalDomain final : public Domain {
 public:
  explicit LocalDomain(const DomainOptions& options) {
    OptionReader reader(kProvider, options.options);
    device_->socket_directory = reader.text(kSocketDirectory);
    Capabilities& can = device_->capabilities;
    can.provider = kProvider;
    can.interface = "host";
    can.max_write = kMaxWrite;
    can.max_inject = kMaxInject;
    can.max_send = kMaxMessage;
    can.max_pieces = kMaxPieces;
    can.write_depth = kDepth;
    can.ordered = true;
    can.shares = true;
  }

  [[nodiscard]] const Capabilities& capabilities() const noexcept override {
    return device_->capabilities;
  }
  std::unique_ptr<Registration> register_memory(std::span<std::byte> memory,
                                                Access access) override {
    return std::make_unique<KeyedRegistration>(device_->registry, memory, access);
  }
  std::unique_ptr<Endpoint> accept(const Token& token, EndpointEvents& events) override {
    return std::make_unique<LocalEndpoint>(device_, token, events);
  }
  std::unique_ptr<Endpoint> connect(const Address& peer, const Token& token,
                                    EndpointEvents& events) override {
    return std::make_unique<LocalEndpoint>(device_, peer, token, events);
  }

 private:
  const std::shared_ptr<Device> device_ = std::make_shared<Device>();
};

class LocalTransport final : public Transport {
 public:
  [[nodiscard]] std::vector<std::string> providers() const override { return {kProvider}; }
  [[nodiscard]] std::vector<DeviceInfo> devices() const override {
    return {{kProvider, "host", {}}};
  }
  void check(const std::string& provider, const Options& options) const override {
    OptionReader reader(provider, options);
    static_cast<void>(reader.text(kSocketDirectory));
    reader.finish();
  }
  std::unique_ptr<Domain> open(const DomainOptions& options) override {
    return std::make_unique<LocalDomain>(options);
  }
};

}  // namespace

std::unique_ptr<Transport> make_transport() {
  return std::make_unique<LocalTransport>();
}

std::string same_host_hint(const Options& given) {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  if (boot.empty()) return {};
  const Options options = configured_options(kProvider, given);
  const auto directory = options.find(kSocketDirectory);
  std::string where = "directory";
  if (directory == options.end() || directory->second.empty()) {
    struct stat space {};
    if (::stat("/proc/self/ns/net", &space) != 0) return {};
    where = std::to_string(space.st_dev) + ":" + std::to_string(space.st_ino);
  }
  const std::string text = "grainfabric " + boot + " " + where;
  const GlibPtr<char> digest(g_compute_checksum_for_string(G_CHECKSUM_SHA256, text.c_str(), -1));
  return digest.get();
}

}  // namespace grainfabric::transport::local
