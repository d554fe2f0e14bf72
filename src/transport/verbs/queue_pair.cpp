// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/queue_pair.hpp"

#include <algorithm>
#include <cerrno>

#include "base/log.hpp"
#include "transport/verbs/error.hpp"

namespace grainfabric::transport::verbs {
namespace {

constexpr std::uint32_t kFewestRequests = 8;

/// The attributes by which the connection manager would move a queue pair to `state`.
ibv_qp_attr attributes_for(rdma_cm_id& id, ibv_qp_state state, int* mask,
                           const std::string& device) {
  ibv_qp_attr attributes{};
  attributes.qp_state = state;
  *mask = 0;
  check(rdma_init_qp_attr(&id, &attributes, mask), "Cannot prepare a queue pair on " + device);
  return attributes;
}

void move(ibv_qp& pair, ibv_qp_attr& attributes, int mask, const Device& device) {
  check_number(ibv_modify_qp(&pair, &attributes, mask),
               "Cannot set up a queue pair on " + device.name(),
               "Check the options in [verbs]: the device takes not all of them.");
}

}  // namespace

QueuePair make_queue_pair(const Device& device, ibv_cq* queue, QueueSizes* sizes) {
  const Settings& settings = device.settings();
  ibv_qp_init_attr wanted{};
  wanted.qp_type = IBV_QPT_RC;
  wanted.send_cq = queue;
  wanted.recv_cq = queue;
  wanted.cap.max_send_wr = sizes->sends;
  wanted.cap.max_recv_wr = sizes->receives;
  wanted.cap.max_send_sge = static_cast<std::uint32_t>(settings.max_sge);
  wanted.cap.max_recv_sge = 1;
  wanted.cap.max_inline_data = sizes->inline_size;
  for (;;) {
    ibv_qp_init_attr attempt = wanted;
    QueuePair pair(ibv_create_qp(device.domain(), &attempt));
    if (pair) {
      // Drivers round up; what was not asked for is not counted on.
      *sizes = {wanted.cap.max_send_wr, wanted.cap.max_recv_wr, wanted.cap.max_inline_data};
      return pair;
    }
    const int error_number = errno;
    const bool may_be_size = error_number == EINVAL || error_number == ENOMEM;
    const char* less = "inline-size";
    if (wanted.cap.max_inline_data > 0) {
      wanted.cap.max_inline_data /= 2;
    } else {
      less = "max-wr";
      wanted.cap.max_send_wr /= 2;
      wanted.cap.max_recv_wr /= 2;
    }
    if (!may_be_size || wanted.cap.max_send_wr < kFewestRequests) {
      throw Error::from_errno(error_number, "Cannot create a queue pair on " + device.name(),
                              "Lower queue-pairs, max-wr, max-sge and inline-size of [verbs].");
    }
    log(LogLevel::warning, "verbs",
        device.name() + ": " + less + " lowered to " +
            std::to_string(wanted.cap.max_inline_data > 0 || less[0] == 'i'
                               ? wanted.cap.max_inline_data
                               : wanted.cap.max_send_wr) +
            " (the driver refused a queue pair with more)");
  }
}

void make_ready_for_receives(const Device& device, rdma_cm_id& id, ibv_qp& pair) {
  int mask = 0;
  ibv_qp_attr attributes = attributes_for(id, IBV_QPS_INIT, &mask, device.name());
  attributes.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
  move(pair, attributes, mask, device);
}

ibv_mtu path_mtu(rdma_cm_id& id, ibv_mtu mtu) {
  int mask = 0;
  const ibv_qp_attr attributes = attributes_for(id, IBV_QPS_RTR, &mask, "a requested connection");
  return std::min(attributes.path_mtu, mtu);
}

void make_ready_to_send(const Device& device, rdma_cm_id& id, ibv_qp& pair, ibv_mtu mtu) {
  const Settings& settings = device.settings();
  int mask = 0;
  ibv_qp_attr attributes = attributes_for(id, IBV_QPS_RTR, &mask, device.name());
  if (mtu < device.mtu()) {
    log(LogLevel::info, "verbs",
        device.name() + ": mtu asked " + std::to_string(bytes_of(device.mtu())) + ", got " +
            std::to_string(bytes_of(mtu)) + " (the path or the peer)");
  }
  attributes.path_mtu = mtu;
  attributes.min_rnr_timer = static_cast<std::uint8_t>(settings.rnr_timer);
  attributes.max_dest_rd_atomic = std::min(attributes.max_dest_rd_atomic, device.read_depth());
  if (settings.gid_index) {
    attributes.ah_attr.grh.sgid_index = static_cast<std::uint8_t>(*settings.gid_index);
  }
  if (settings.traffic_class) {
    attributes.ah_attr.grh.traffic_class = static_cast<std::uint8_t>(*settings.traffic_class);
  }
  move(pair, attributes, mask, device);

  attributes = attributes_for(id, IBV_QPS_RTS, &mask, device.name());
  attributes.timeout = static_cast<std::uint8_t>(settings.ack_timeout);
  attributes.retry_cnt = static_cast<std::uint8_t>(settings.retry_count);
  attributes.rnr_retry = static_cast<std::uint8_t>(settings.rnr_retry);
  attributes.max_rd_atomic = std::min(attributes.max_rd_atomic, device.read_depth());
  move(pair, attributes, mask, device);
}

}  // namespace grainfabric::transport::verbs
