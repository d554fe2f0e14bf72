// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "base/log.hpp"

/// Owners of the objects of libibverbs and librdmacm. What an object was made from must outlive it:
/// owners declare parents before children.
namespace grainfabric::transport::verbs {

template <auto kDestroy>
struct Destroyer {
  template <typename T>
  void operator()(T* object) const noexcept {
    if constexpr (std::is_void_v<decltype(kDestroy(object))>) {
      kDestroy(object);
    } else if (kDestroy(object) != 0) {
      // It leaks and nothing else can be done; EBUSY would be an order of destruction that this
      // code got wrong.
      log(LogLevel::error, "verbs",
          std::string("An RDMA object did not close: ") + std::strerror(errno));
    }
  }
};

using DeviceContext = std::unique_ptr<ibv_context, Destroyer<&ibv_close_device>>;
using ProtectionDomain = std::unique_ptr<ibv_pd, Destroyer<&ibv_dealloc_pd>>;
using MemoryRegion = std::unique_ptr<ibv_mr, Destroyer<&ibv_dereg_mr>>;
using CompletionChannel = std::unique_ptr<ibv_comp_channel, Destroyer<&ibv_destroy_comp_channel>>;
using CompletionQueue = std::unique_ptr<ibv_cq, Destroyer<&ibv_destroy_cq>>;
using QueuePair = std::unique_ptr<ibv_qp, Destroyer<&ibv_destroy_qp>>;
using EventChannel = std::unique_ptr<rdma_event_channel, Destroyer<&rdma_destroy_event_channel>>;
using ConnectionId = std::unique_ptr<rdma_cm_id, Destroyer<&rdma_destroy_id>>;

/// The devices of this host, as they are now. Empty where there are none, or no kernel support.
class DeviceList {
 public:
  DeviceList() : list_(ibv_get_device_list(&count_)) {}
  ~DeviceList() {
    if (list_ != nullptr) ibv_free_device_list(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;

  [[nodiscard]] ibv_device** begin() const noexcept { return list_; }
  [[nodiscard]] ibv_device** end() const noexcept {
    return list_ == nullptr ? nullptr : list_ + count_;
  }
  [[nodiscard]] bool empty() const noexcept { return begin() == end(); }

 private:
  int count_ = 0;  // before the list, which sets it
  ibv_device** list_;
};

}  // namespace grainfabric::transport::verbs
