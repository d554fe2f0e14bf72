// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>

#include "base/export.hpp"
#include "memory/region.hpp"
#include "transfer/foreign_memory.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

/// Registrations of a domain for the regions that writes come from, made at first use (views of
/// other people's memory at the second) and dropped once the region is gone. Loop thread only.
class GRAINFABRIC_API Registrations {
 public:
  /// Registered memory of others at a time, beyond which it is copied: it is pinned, also where its
  /// owner uses a small part of a large file.
  static constexpr std::size_t kMostForeignBytes = std::size_t{1} << 30U;
  static constexpr std::size_t kMostForeignRegions = 256;

  /// `domain` is borrowed and outlives this.
  explicit Registrations(transport::Domain& domain) : domain_(domain) {}

  /// The registration that covers `region`; null where the transport needs none. A view is one that
  /// foreign() serves. Throws what Domain::register_memory throws.
  const transport::Registration* of(const std::shared_ptr<Region>& region);

  /// What those who push ask about views.
  [[nodiscard]] const std::shared_ptr<ForeignMemory>& foreign() const noexcept { return foreign_; }
  /// Registers the views that were asked for, as far as there is room. One that the transport
  /// cannot register is copied from then on, and the log says why.
  void register_asked();
  /// Drops the registrations of memory that is gone.
  void forget_gone();

 private:
  struct Entry {
    std::weak_ptr<Region> region;
    std::unique_ptr<transport::Registration> registration;
    std::size_t foreign_size = 0;  // 0: ours
  };
  transport::Domain& domain_;
  std::map<const Region*, Entry> entries_;
  bool has_warned_ = false;
  const std::shared_ptr<ForeignMemory> foreign_ = std::make_shared<ForeignMemory>();
};

}  // namespace grainfabric
