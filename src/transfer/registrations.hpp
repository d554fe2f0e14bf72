// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>

#include "memory/region.hpp"
#include "transport/transport.hpp"

namespace grainfabric {

/// Registrations of a domain for the regions that writes come from, made at first use and dropped
/// once the region is gone. Loop thread only.
class Registrations {
 public:
  /// `domain` is borrowed and outlives this.
  explicit Registrations(transport::Domain& domain) : domain_(domain) {}

  /// The registration that covers `region`; null where the transport needs none. Throws what
  /// Domain::register_memory throws.
  const transport::Registration* of(const std::shared_ptr<Region>& region) {
    if (!region || !domain_.capabilities().local_registration) return nullptr;
    const auto known = entries_.find(region.get());
    // An address may be used again by another region: only a living one is the same one.
    if (known != entries_.end() && !known->second.region.expired()) {
      return known->second.registration.get();
    }
    std::erase_if(entries_, [](const auto& entry) { return entry.second.region.expired(); });
    Entry entry{region, domain_.register_memory(region->bytes(), transport::Access::local)};
    return (entries_[region.get()] = std::move(entry)).registration.get();
  }

 private:
  struct Entry {
    std::weak_ptr<Region> region;
    std::unique_ptr<transport::Registration> registration;
  };
  transport::Domain& domain_;
  std::map<const Region*, Entry> entries_;
};

}  // namespace grainfabric
