// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transport/transport.hpp"
#include "transport/verbs/handles.hpp"
#include "transport/verbs/ip_address.hpp"
#include "transport/verbs/settings.hpp"

namespace grainfabric::transport::verbs {

/// What an endpoint hears of its device, from inside Device::serve_events().
class DeviceEvents {
 public:
  virtual void on_device_event(const ibv_async_event& event) = 0;

 protected:
  ~DeviceEvents() = default;
};

/// How deep and wide a queue pair is.
struct QueueSizes {
  std::uint32_t sends = 0;
  std::uint32_t receives = 0;
  std::uint32_t inline_size = 0;
};

/// A device opened for one Domain: its context, its protection domain, and how deep and wide its
/// queues may be. The context is the domain's own, not the one librdmacm shares out in a process,
/// since asynchronous events are given to whoever reads a context first. One thread. Children hold
/// it by shared_ptr.
class Device {
 public:
  /// Throws Error: unknown_interface, unsupported, permission, unreachable for a port that is down.
  explicit Device(const DomainOptions& options);

  [[nodiscard]] ibv_context* context() const noexcept { return context_.get(); }
  [[nodiscard]] ibv_pd* domain() const noexcept { return domain_.get(); }
  [[nodiscard]] const IpAddress& address() const noexcept { return address_; }
  /// Clamped to what the device can do.
  [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept { return capabilities_; }
  /// Of each queue pair where an endpoint has so many. Throws Error if max-cqe is too low for that.
  [[nodiscard]] QueueSizes queue_sizes(int queue_pairs) const;
  /// Reads in flight per queue pair, both ways.
  [[nodiscard]] std::uint8_t read_depth() const noexcept { return read_depth_; }
  /// Largest MTU for a connection of this side: the settings' and the port's.
  [[nodiscard]] ibv_mtu mtu() const noexcept { return mtu_; }
  /// "verbs on rxe0 port 1", for messages.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Readable when there are asynchronous events.
  [[nodiscard]] int fd() const noexcept { return context_->async_fd; }
  /// Tells them to all listeners. Returns whether there were any.
  bool serve_events();
  void add(DeviceEvents& listener) { listeners_.push_back(&listener); }
  void remove(DeviceEvents& listener) { std::erase(listeners_, &listener); }

 private:
  void find_device();
  void open_context();
  void fit_to_port();
  void fit_to_device();
  /// `asked`, or the device's `limit` with a line in the log.
  [[nodiscard]] int fit(const char* option, int asked, std::int64_t limit, const char* whose) const;

  Settings settings_;
  IpAddress address_;
  std::string device_name_;
  std::string name_;
  DeviceContext context_;
  ProtectionDomain domain_;
  int most_in_queue_ = 0;  // work requests that the device takes
  QueueSizes sizes_;       // with this side's own number of queue pairs
  std::uint8_t read_depth_ = 0;
  ibv_mtu mtu_ = IBV_MTU_256;
  Capabilities capabilities_;
  std::vector<DeviceEvents*> listeners_;
};

/// A non-blocking event channel of librdmacm. Throws Error.
EventChannel make_event_channel(const std::string& device);

/// What ibv_mtu calls its number of bytes.
constexpr int bytes_of(ibv_mtu mtu) {
  return 128 << static_cast<int>(mtu);
}

}  // namespace grainfabric::transport::verbs
