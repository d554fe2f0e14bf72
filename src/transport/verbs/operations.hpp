// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace grainfabric::transport::verbs {

/// What one completion ends: a write of one or more work requests, an injected write, a read, a
/// message. Its index is the work request's id.
struct Operation {
  enum class Kind : std::uint8_t { idle, transfer, message, silent };
  static constexpr std::uint32_t kNoBuffer = UINT32_MAX;

  std::uint64_t user = 0;            ///< What the user called it (transfer, message).
  std::uint32_t requests = 0;        ///< Places in the send queue, all given back together.
  std::uint32_t buffer = kNoBuffer;  ///< Of the send buffers, where its bytes went out from one.
  Kind kind = Kind::idle;            ///< silent: nobody is told of its end (injected).
};

/// The send queue's places and what holds them; allocated once, posting allocates nothing.
class Operations {
 public:
  explicit Operations(std::uint32_t places) : all_(places), free_places_(places) {
    free_.reserve(places);
    for (std::uint32_t i = places; i > 0; --i) free_.push_back(i - 1);
  }

  /// Null when fewer than `requests` places are free.
  Operation* take(Operation::Kind kind, std::uint32_t requests) noexcept {
    if (requests > free_places_) return nullptr;
    Operation& operation = all_[free_.back()];  // each has at least one place
    free_.pop_back();
    free_places_ -= requests;
    operation = {0, requests, Operation::kNoBuffer, kind};
    return &operation;
  }
  void put_back(Operation& operation) noexcept {
    free_places_ += operation.requests;
    operation.kind = Operation::Kind::idle;
    free_.push_back(index_of(operation));  // never more than reserved
  }
  [[nodiscard]] std::uint32_t index_of(const Operation& operation) const noexcept {
    return static_cast<std::uint32_t>(&operation - all_.data());
  }
  /// Null for what is not in flight.
  Operation* find(std::uint64_t index) noexcept {
    if (index >= all_.size() || all_[index].kind == Operation::Kind::idle) return nullptr;
    return &all_[index];
  }

 private:
  std::vector<Operation> all_;
  std::vector<std::uint32_t> free_;
  std::uint32_t free_places_;
};

}  // namespace grainfabric::transport::verbs
