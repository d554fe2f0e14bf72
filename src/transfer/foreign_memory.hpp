// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "memory/region.hpp"

namespace grainfabric {

/// Which views of other people's memory (Region::view) a transport that registers its sources has
/// registered. It costs more than a copy to register what comes but once, so that only what comes
/// again is asked for, and copied until that is done. Between the threads that push and the loop
/// thread; any thread.
class ForeignMemory {
 public:
  /// Whether writes may come from `view` now. Once true, it is so for as long as `view` lives.
  bool serves(const std::shared_ptr<Region>& view) {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[view.get()];
    // An address may be used again by another view: only a living one is the same one.
    if (entry.view.expired()) {
      entry = {view, State::seen};
    } else if (entry.state == State::seen) {
      entry.state = State::asked;
      asked_.push_back(view);
    }
    return entry.state == State::registered;
  }

  /// What is to be registered; each view once.
  std::vector<std::shared_ptr<Region>> take_asked() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Region>> asked;
    for (const auto& view : asked_) {
      if (auto living = view.lock()) asked.push_back(std::move(living));
    }
    asked_.clear();
    return asked;
  }
  /// It is registered. Without this word it is copied for ever.
  void set_registered(const Region& view) {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(&view);
    if (entry != entries_.end()) entry->second.state = State::registered;
  }
  void forget_gone() {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [](const auto& entry) { return entry.second.view.expired(); });
  }

 private:
  enum class State { seen, asked, registered };
  struct Entry {
    std::weak_ptr<Region> view;
    State state = State::seen;
  };
  std::mutex mutex_;
  std::map<const Region*, Entry> entries_;
  std::vector<std::weak_ptr<Region>> asked_;
};

}  // namespace grainfabric
