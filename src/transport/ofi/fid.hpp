// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_errno.h>

#include <string>
#include <utility>

#include "base/log.hpp"

namespace grainfabric::transport::ofi {

/// Owns one libfabric object (fid_fabric, fid_domain, fid_ep, …) and closes it once. What it was
/// opened from must outlive it: owners declare parents before children.
template <typename T>
class Fid {
 public:
  Fid() noexcept = default;
  explicit Fid(T* fid) noexcept : fid_(fid) {}
  Fid(Fid&& other) noexcept : fid_(std::exchange(other.fid_, nullptr)) {}
  Fid& operator=(Fid&& other) noexcept {
    if (this != &other) {
      reset();
      fid_ = std::exchange(other.fid_, nullptr);
    }
    return *this;
  }
  Fid(const Fid&) = delete;
  Fid& operator=(const Fid&) = delete;
  ~Fid() { reset(); }

  [[nodiscard]] T* get() const noexcept { return fid_; }
  [[nodiscard]] fid_t base() const noexcept { return fid_ == nullptr ? nullptr : &fid_->fid; }
  T* operator->() const noexcept { return fid_; }
  explicit operator bool() const noexcept { return fid_ != nullptr; }

  void reset() noexcept {
    T* closing = std::exchange(fid_, nullptr);
    if (closing == nullptr) return;
    // A failure leaks one object and nothing else can be done; FI_EBUSY would be an order of
    // destruction that this code got wrong.
    if (const int result = fi_close(&closing->fid); result != 0) {
      log(LogLevel::error, "ofi",
          "A libfabric object of class " + std::to_string(closing->fid.fclass) +
              " did not close: " + fi_strerror(-result));
    }
  }

 private:
  T* fid_ = nullptr;
};

}  // namespace grainfabric::transport::ofi
