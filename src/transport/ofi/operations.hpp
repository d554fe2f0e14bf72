// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace grainfabric::transport::ofi {

/// What libfabric is given as the context of one operation. It may scribble into the first member
/// (modes FI_CONTEXT and FI_CONTEXT2) until the operation completes.
struct Operation {
  enum class Kind : std::uint8_t { idle, transfer, message, handshake, receive };

  fi_context2 scratch{};
  std::uint64_t user = 0;    ///< What the user called it (transfer, message).
  std::uint32_t buffer = 0;  ///< Of MessageBuffers (message, handshake, receive).
  Kind kind = Kind::idle;    ///< idle: completed, or never posted.
};

/// All Operations of one endpoint, allocated once: posting allocates nothing. One thread.
class Operations {
 public:
  explicit Operations(std::size_t count) : all_(count) {
    free_.reserve(count);
    for (Operation& operation : all_) free_.push_back(&operation);
  }

  /// Null when all are in flight.
  Operation* take(Operation::Kind kind) noexcept {
    if (free_.empty()) return nullptr;
    Operation* operation = free_.back();
    free_.pop_back();
    operation->kind = kind;
    return operation;
  }
  void put_back(Operation& operation) noexcept {
    operation.kind = Operation::Kind::idle;
    free_.push_back(&operation);  // never more than reserved
  }

  /// The operation in flight that a completion speaks of; null for a context that is none of ours,
  /// which some providers give with events of the peer, or that completed before.
  Operation* find(const void* context) noexcept {
    const std::less<const void*> before;
    if (all_.empty() || before(context, &all_.front()) || before(&all_.back(), context)) {
      return nullptr;
    }
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(context) -
                                                 reinterpret_cast<const std::byte*>(all_.data()));
    if (offset % sizeof(Operation) != 0) return nullptr;
    Operation& operation = all_[offset / sizeof(Operation)];
    return operation.kind == Operation::Kind::idle ? nullptr : &operation;
  }

 private:
  std::vector<Operation> all_;
  std::vector<Operation*> free_;
};

}  // namespace grainfabric::transport::ofi
