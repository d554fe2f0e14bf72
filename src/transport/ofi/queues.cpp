// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/queues.hpp"

#include <rdma/fi_cm.h>

#include <array>
#include <cstring>

#include "transport/ofi/error.hpp"

namespace grainfabric::transport::ofi {
namespace {

/// Private data of a connection request that is kept: tcp carries up to 256 bytes, verbs 56.
constexpr std::size_t kMaxPrivateData = 512;

fi_wait_obj wait_object(const Device& device) {
  return device.sleeps() ? FI_WAIT_FD : FI_WAIT_NONE;
}

}  // namespace

Fid<fid_cq> open_completion_queue(const Device& device, std::size_t size) {
  fi_cq_attr attr{};
  attr.format = FI_CQ_FORMAT_DATA;
  attr.wait_obj = wait_object(device);
  // Devices do not say how deep a queue may be, they refuse; 0 is the provider's own choice.
  for (attr.size = size;; attr.size = attr.size > 64 ? attr.size / 2 : 0) {
    fid_cq* queue = nullptr;
    const int result = fi_cq_open(device.domain(), &attr, &queue, nullptr);
    if (result == 0) return Fid(queue);
    const bool too_big = result == -FI_EINVAL || result == -FI_ENOMEM;
    if (!too_big || attr.size == 0)
      check(result, "Cannot create a completion queue on " + device.name());
  }
}

int descriptor_of(fid_t queue, const std::string& device) {
  int fd = -1;
  check(fi_control(queue, FI_GETWAIT, &fd), "Cannot wait for " + device);
  return fd;
}

EventQueue::EventQueue(const Device& device) : device_(device.name()) {
  fi_eq_attr attr{};
  attr.wait_obj = wait_object(device);
  fid_eq* queue = nullptr;
  check(fi_eq_open(device.fabric(), &attr, &queue, nullptr),
        "Cannot create an event queue on " + device_);
  queue_ = Fid(queue);
  if (device.sleeps()) fd_ = descriptor_of(queue_.base(), device_);
}

std::optional<ConnectionEvent> EventQueue::read() {
  alignas(fi_eq_cm_entry) std::array<std::byte, sizeof(fi_eq_cm_entry) + kMaxPrivateData> raw{};
  std::uint32_t type = 0;
  const ssize_t size = fi_eq_read(queue_.get(), &type, raw.data(), raw.size(), 0);
  if (size == -FI_EAGAIN || size == -FI_EINTR || size == 0) return std::nullopt;
  if (size == -FI_EAVAIL) return read_failure();
  check(size, "Connection events of " + device_ + " cannot be read");
  if (static_cast<std::size_t>(size) < sizeof(fi_eq_cm_entry)) return std::nullopt;
  fi_eq_cm_entry entry;
  std::memcpy(&entry, raw.data(), sizeof entry);
  ConnectionEvent event{ConnectionEvent::Kind::request, nullptr, {}, 0, {}};
  switch (type) {
    case FI_CONNREQ:
      event.request.reset(entry.info);
      event.data.assign(raw.begin() + sizeof entry, raw.begin() + size);
      return event;
    case FI_CONNECTED:
      event.kind = ConnectionEvent::Kind::connected;
      return event;
    case FI_SHUTDOWN:
      event.kind = ConnectionEvent::Kind::shutdown;
      return event;
    default:
      return std::nullopt;
  }
}

ConnectionEvent EventQueue::read_failure() {
  fi_eq_err_entry entry{};
  const ssize_t size = fi_eq_readerr(queue_.get(), &entry, 0);
  check(size, "Connection errors of " + device_ + " cannot be read");
  ConnectionEvent event{ConnectionEvent::Kind::failed, nullptr, {}, entry.err, {}};
  if (entry.err_data != nullptr) {
    const auto* data = static_cast<const std::byte*>(entry.err_data);
    event.data.assign(data, data + entry.err_data_size);
  }
  if (entry.prov_errno != 0) {
    std::array<char, 128> text{};
    const char* words =
        fi_eq_strerror(queue_.get(), entry.prov_errno, entry.err_data, text.data(), text.size());
    if (words != nullptr) event.detail = words;
  }
  return event;
}

}  // namespace grainfabric::transport::ofi
