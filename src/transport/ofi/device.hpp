// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>

#include <memory>
#include <string>

#include "transport/ofi/fid.hpp"
#include "transport/ofi/info.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport::ofi {

/// What a Domain and all its children share: libfabric's fabric and domain, opened on one offer.
/// Children hold it by shared_ptr, so that it closes after the last of them whatever the order.
class Device {
 public:
  /// Throws Error: unknown_provider, unknown_interface, permission, …
  explicit Device(const DomainOptions& options);

  [[nodiscard]] const fi_info& info() const noexcept { return *info_; }
  [[nodiscard]] fid_fabric* fabric() const noexcept { return fabric_.get(); }
  [[nodiscard]] fid_domain* domain() const noexcept { return domain_.get(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept { return capabilities_; }
  /// "tcp on eth0", for messages.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The format of addresses of its endpoints, as it travels.
  [[nodiscard]] const std::string& address_format() const noexcept { return address_format_; }

  /// Whether the user named the local address; connections leave from it then.
  [[nodiscard]] bool is_bound() const noexcept { return is_bound_; }
  [[nodiscard]] bool is_connected_type() const noexcept {
    return info_->ep_attr->type == FI_EP_MSG;
  }
  [[nodiscard]] bool has_mode(std::uint64_t mode) const noexcept {
    return ((info_->mode | info_->rx_attr->mode | info_->tx_attr->mode) & mode) != 0;
  }
  [[nodiscard]] bool has_mr_mode(int mode) const noexcept {
    return (info_->domain_attr->mr_mode & mode) != 0;
  }
  /// Completion and event queues of this provider have descriptors that one can sleep on.
  [[nodiscard]] bool sleeps() const noexcept { return sleeps_; }

 private:
  std::string provider_;  // libfabric's name
  Info info_;
  bool is_bound_ = false;
  bool sleeps_ = false;
  std::string name_;
  std::string address_format_;
  Capabilities capabilities_;
  Fid<fid_fabric> fabric_;
  Fid<fid_domain> domain_;
};

}  // namespace grainfabric::transport::ofi
