// SPDX-License-Identifier: Apache-2.0
#include "transfer/registrations.hpp"

#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace grainfabric {

const transport::Registration* Registrations::of(const std::shared_ptr<Region>& region) {
  if (!region || !domain_.capabilities().local_registration) return nullptr;
  const auto known = entries_.find(region.get());
  // An address may be used again by another region: only a living one is the same one.
  if (known != entries_.end() && !known->second.region.expired()) {
    return known->second.registration.get();
  }
  forget_gone();
  Entry entry{region, domain_.register_memory(region->bytes(), transport::Access::local),
              region->is_view() ? region->size() : 0};
  return (entries_[region.get()] = std::move(entry)).registration.get();
}

void Registrations::register_asked() {
  if (!domain_.capabilities().local_registration) return;
  for (const std::shared_ptr<Region>& view : foreign_->take_asked()) {
    forget_gone();
    std::size_t regions = 1;
    std::size_t bytes = view->size();
    for (const auto& [address, entry] : entries_) {
      regions += entry.foreign_size > 0 ? 1 : 0;
      bytes += entry.foreign_size;
    }
    try {
      if (regions > kMostForeignRegions || bytes > kMostForeignBytes) {
        throw Error(ErrorCode::no_memory, "It would be " + std::to_string(bytes) + " bytes in " +
                                              std::to_string(regions) + " files at a time");
      }
      of(view);
      foreign_->set_registered(*view);
    } catch (const Error& error) {
      if (std::exchange(has_warned_, true)) continue;  // a pool has many
      log(LogLevel::warning, "transfer",
          "Memory of another element cannot be registered and is copied: " +
              std::string(error.what()));
    }
  }
}

void Registrations::forget_gone() {
  std::erase_if(entries_, [](const auto& entry) { return entry.second.region.expired(); });
  foreign_->forget_gone();
}

}  // namespace grainfabric
