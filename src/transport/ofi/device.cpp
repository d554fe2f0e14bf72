// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/device.hpp"

#include <rdma/fi_endpoint.h>

#include <algorithm>

#include "transport/interface.hpp"
#include "transport/ofi/address.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/limits.hpp"
#include "transport/ofi/message.hpp"
#include "transport/ofi/provider.hpp"

namespace grainfabric::transport::ofi {
namespace {

/// libfabric's tcp on loopback, where it is not paced (within_host.hpp). There is nothing
/// to gain from gaps between writes then: whole grains take 0.9 of the CPU of 512 KiB
/// (tests/bench/RESULTS.md).
constexpr std::size_t kUnpacedPiece = std::size_t{32} << 20U;

bool promises_order(const fi_info& info, std::size_t max_write) {
  constexpr std::uint64_t kWriteAfterWrite = FI_ORDER_WAW | FI_ORDER_RMA_WAW;
  return (info.tx_attr->msg_order & kWriteAfterWrite) != 0 &&
         info.ep_attr->max_order_waw_size >= max_write;
}

Capabilities capabilities_of(const fi_info& info, const DomainOptions& options) {
  Capabilities can;
  const std::string provider = info.fabric_attr->prov_name;
  can.provider = public_name(provider);
  can.interface = info.domain_attr->name;
  can.max_write = std::min<std::size_t>(info.ep_attr->max_msg_size, kMaxWrite);
  can.max_inject = info.tx_attr->inject_size;
  // Connectionless endpoints put a header before each message.
  const std::size_t overhead = info.ep_attr->type == FI_EP_MSG ? 0 : sizeof(MessageHeader);
  can.max_send = std::min<std::size_t>(info.ep_attr->max_msg_size - overhead, kMaxMessage);
  can.max_pieces = std::max<std::size_t>(info.tx_attr->iov_limit, 1);
  can.write_depth = std::clamp<std::size_t>(info.tx_attr->size, 1, kMaxWriteDepth);
  can.ordered = keeps_order(provider) && promises_order(info, can.max_write);
  if (can.provider == "tcp" && is_loopback(options.local_address)) can.piece_size = kUnpacedPiece;
  can.piece_size = OptionReader(options.provider, options.options).piece_size(can.piece_size);
  can.local_registration = (info.domain_attr->mr_mode & FI_MR_LOCAL) != 0;
  return can;
}

}  // namespace

Device::Device(const DomainOptions& options)
    : provider_(libfabric_name(options.provider)),
      info_(choose(provider_, options.local_address)),
      is_bound_(!options.local_address.empty() && has_ip_address(provider_)),
      sleeps_(sleeps_on_descriptor(provider_)),
      name_(options.provider + " on " + info_->domain_attr->name),
      address_format_(format_name(info_->addr_format, info_->src_addr, info_->src_addrlen)),
      capabilities_(capabilities_of(*info_, options)) {
  fid_fabric* fabric = nullptr;
  check(fi_fabric(info_->fabric_attr, &fabric, nullptr), "Cannot open " + name_);
  fabric_ = Fid(fabric);
  fid_domain* domain = nullptr;
  check(fi_domain(fabric, info_.get(), &domain, nullptr), "Cannot open " + name_);
  domain_ = Fid(domain);
}

}  // namespace grainfabric::transport::ofi
