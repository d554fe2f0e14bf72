// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/device.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.hpp"
#include "transport/verbs/device_address.hpp"
#include "transport/verbs/error.hpp"
#include "transport/verbs/limits.hpp"

namespace grainfabric::transport::verbs {
namespace {

void make_non_blocking(int fd, const std::string& device) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    throw Error::from_errno(errno, "Cannot wait for " + device);
  }
}

ibv_mtu largest_mtu(int bytes) {
  int mtu = IBV_MTU_4096;
  while (mtu > IBV_MTU_256 && bytes_of(static_cast<ibv_mtu>(mtu)) > bytes) --mtu;
  return static_cast<ibv_mtu>(mtu);
}

}  // namespace

EventChannel make_event_channel(const std::string& device) {
  EventChannel channel(rdma_create_event_channel());
  if (!channel) throw opening_error(errno, "the RDMA connection manager for " + device);
  make_non_blocking(channel->fd, device);
  return channel;
}

Device::Device(const DomainOptions& options)
    : settings_(Settings::parse(options.options)),
      address_(address_to_bind(options.local_address, settings_)) {
  find_device();
  name_ = "verbs on " + device_name_ + " port " + std::to_string(settings_.port);
  open_context();
  domain_.reset(ibv_alloc_pd(context_.get()));
  if (!domain_) throw Error::from_errno(errno, "Cannot open " + name_);
  fit_to_port();
  fit_to_device();
  log(LogLevel::info, "verbs", "Opened " + name_ + " for " + address_.text());
}

void Device::find_device() {
  const EventChannel channel = make_event_channel(address_.text());
  rdma_cm_id* raw = nullptr;
  check(rdma_create_id(channel.get(), &raw, nullptr, RDMA_PS_TCP), "Cannot use librdmacm");
  const ConnectionId id(raw);
  const int result = rdma_bind_addr(id.get(), address_.raw());
  if (result != 0 || id->verbs == nullptr) {
    const std::string why = result != 0 ? std::string(": ") + std::strerror(errno) : "";
    throw Error(ErrorCode::unknown_interface,
                "No RDMA device has the local address " + address_.text() + why,
                "Set interface to one of: " + list_devices() + ".");
  }
  device_name_ = ibv_get_device_name(id->verbs->device);
  const bool is_named = settings_.device.empty() || settings_.device == device_name_;
  if (!is_named || (settings_.port != 0 && settings_.port != id->port_num)) {
    throw Error(
        ErrorCode::unknown_interface,
        "The local address " + address_.text() + " is on " + device_name_ + " port " +
            std::to_string(id->port_num) + ", not on " +
            (is_named ? "port " + std::to_string(settings_.port) : "device " + settings_.device) +
            " as [verbs] says",
        "This host has: " + list_devices() + ".");
  }
  settings_.port = id->port_num;
}

void Device::open_context() {
  for (ibv_device* device : DeviceList()) {
    if (device_name_ != ibv_get_device_name(device)) continue;
    if (device->transport_type != IBV_TRANSPORT_IB) {
      throw Error(ErrorCode::unsupported,
                  name_ + " is no InfiniBand or RoCE device: it has no writes with immediate data",
                  "Use provider=tcp over it.");
    }
    context_.reset(ibv_open_device(device));
    if (!context_) throw opening_error(errno, name_);
    make_non_blocking(context_->async_fd, name_);
    return;
  }
  throw Error(ErrorCode::unknown_interface, "RDMA device " + device_name_ + " has gone",
              "This host has: " + list_devices() + ".");
}

int Device::fit(const char* option, int asked, std::int64_t limit, const char* whose) const {
  if (asked <= limit) return asked;
  log(LogLevel::warning, "verbs",
      name_ + ": " + option + " asked " + std::to_string(asked) + ", got " + std::to_string(limit) +
          " (" + whose + ")");
  return static_cast<int>(limit);
}

void Device::fit_to_port() {
  ibv_port_attr port{};
  const auto number = static_cast<std::uint8_t>(settings_.port);
  check_number(ibv_query_port(context_.get(), number, &port), "Cannot query " + name_);
  if (port.state != IBV_PORT_ACTIVE) {
    throw Error(ErrorCode::unreachable,
                "The port of " + name_ + " is " + ibv_port_state_str(port.state),
                "Check its cable, switch port and network interface (ip link).");
  }
  mtu_ = largest_mtu(fit("mtu", settings_.mtu, bytes_of(port.active_mtu), "the port's active MTU"));
  capabilities_.max_write = port.max_msg_sz;  // of one work request
  if (!settings_.gid_index) return;
  ibv_gid_entry gid{};
  const auto index = static_cast<std::uint32_t>(*settings_.gid_index);
  if (*settings_.gid_index >= port.gid_tbl_len ||
      ibv_query_gid_ex(context_.get(), number, index, &gid, 0) != 0) {
    throw Error(ErrorCode::invalid_argument,
                "GID index " + std::to_string(index) + " of " + name_ + " does not exist: its " +
                    std::to_string(port.gid_tbl_len) + " places are counted from 0, and not all " +
                    "are taken",
                "Leave gid-index out for that of the local address, or see ibv_devinfo -v.");
  }
}

void Device::fit_to_device() {
  ibv_device_attr can{};
  check_number(ibv_query_device(context_.get(), &can), "Cannot query " + name_);
  settings_.max_sge = fit("max-sge", settings_.max_sge, can.max_sge, "the device's max_sge");
  settings_.max_wr = fit("max-wr", settings_.max_wr, can.max_qp_wr, "the device's max_qp_wr");
  settings_.max_cqe = fit("max-cqe", settings_.max_cqe, can.max_cqe, "the device's max_cqe");
  settings_.queue_pairs =
      fit("queue-pairs", settings_.queue_pairs, can.max_qp, "the device's max_qp");
  settings_.cqs_per_device =
      fit("cqs-per-device", settings_.cqs_per_device, can.max_cq, "the device's max_cq");
  settings_.cqs_per_device =
      fit("cqs-per-device", settings_.cqs_per_device, settings_.queue_pairs, "queue-pairs");
  most_in_queue_ = can.max_qp_wr;
  sizes_ = queue_sizes(settings_.queue_pairs);
  read_depth_ = static_cast<std::uint8_t>(std::clamp(
      std::min(can.max_qp_rd_atom, can.max_qp_init_rd_atom), 0, static_cast<int>(kReadDepth)));
  const auto longest = static_cast<std::uint32_t>(capabilities_.max_write);
  settings_.slice_size =
      settings_.slice_size == 0
          ? longest
          : static_cast<std::uint32_t>(fit("slice-size", static_cast<int>(settings_.slice_size),
                                           longest, "the port's max_msg_sz"));
  capabilities_.provider = "verbs";
  capabilities_.interface = device_name_;
  // Longer ones are cut into work requests; one write must leave room for others.
  capabilities_.max_write =
      std::min<std::size_t>(kMaxWrite, std::size_t{settings_.slice_size} * (sizes_.sends / 2));
  capabilities_.max_inject = kMaxMessage;
  capabilities_.max_send = kMaxMessage;
  capabilities_.max_pieces = static_cast<std::size_t>(settings_.max_sge);
  capabilities_.write_depth =
      std::size_t{sizes_.sends} * static_cast<std::size_t>(settings_.queue_pairs);
  capabilities_.ordered = settings_.queue_pairs == 1;  // a reliable connection is, several are not
  capabilities_.local_registration = true;
}

QueueSizes Device::queue_sizes(int queue_pairs) const {
  const bool is_known = queue_pairs == settings_.queue_pairs && sizes_.sends != 0;
  if (is_known) return sizes_;  // and the log has said what was lowered
  // A completion queue that overflows ends its queue pairs: it has room for all that is posted.
  constexpr int kShares = 1 + static_cast<int>(kReceivesPerWrite);
  const int queues = std::min(settings_.cqs_per_device, queue_pairs);
  const int sharing = (queue_pairs + queues - 1) / queues;
  const int room = settings_.max_cqe / kShares / sharing;
  const std::string pairs = std::to_string(sharing) + " queue pair" + (sharing > 1 ? "s" : "");
  if (room < kFewestSends) {
    throw Error(ErrorCode::invalid_argument,
                name_ + ": a completion queue of " + std::to_string(settings_.max_cqe) +
                    " entries (max-cqe) has no room for " + pairs,
                "Raise max-cqe or cqs-per-device of [verbs], or lower queue-pairs on the side that "
                "connects.");
  }
  const int sends = fit("max-wr", settings_.max_wr, room,
                        ("a third of max-cqe, which holds sends and receives of " + pairs).c_str());
  const int receives = std::min(sends * static_cast<int>(kReceivesPerWrite), most_in_queue_);
  return {static_cast<std::uint32_t>(sends), static_cast<std::uint32_t>(receives),
          static_cast<std::uint32_t>(settings_.inline_size)};
}

bool Device::serve_events() {
  ibv_async_event event;
  bool any = false;
  while (ibv_get_async_event(context_.get(), &event) == 0) {
    any = true;
    // What belongs to one queue pair is its endpoint's to tell.
    const bool is_good = event.event_type == IBV_EVENT_PORT_ACTIVE;
    if (event.event_type != IBV_EVENT_COMM_EST) {
      log(is_good ? LogLevel::info : LogLevel::warning, "verbs",
          name_ + " reports: " + ibv_event_type_str(event.event_type));
    }
    for (DeviceEvents* listener : listeners_) listener->on_device_event(event);
    ibv_ack_async_event(&event);
  }
  return any;
}

}  // namespace grainfabric::transport::verbs
