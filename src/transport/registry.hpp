// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/token.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport {

/// The memory of one Domain that peers may touch, by key, for a transport that does its own
/// copying. A key that nobody can guess is what keeps strangers out of it. One thread.
class Registry {
 public:
  std::uint64_t add(std::span<std::byte> memory) {
    for (;;) {
      const std::uint64_t key = random_u64();
      if (all_.emplace(key, memory).second) return key;
    }
  }
  void remove(std::uint64_t key) noexcept { all_.erase(key); }

  /// The bytes [offset, offset + length) under `key`; null where not all of them are registered.
  [[nodiscard]] std::byte* find(std::uint64_t key, std::uint64_t offset,
                                std::uint64_t length) const noexcept {
    const auto found = all_.find(key);
    if (found == all_.end() || offset > found->second.size() ||
        length > found->second.size() - offset) {
      return nullptr;
    }
    return found->second.data() + offset;
  }

 private:
  std::unordered_map<std::uint64_t, std::span<std::byte>> all_;
};

/// Memory under a random key while it lives; peers count addresses from its start.
class KeyedRegistration final : public Registration {
 public:
  KeyedRegistration(std::shared_ptr<Registry> registry, std::span<std::byte> memory, Access access)
      : registry_(std::move(registry)) {
    if (memory.empty()) throw Error(ErrorCode::invalid_argument, "Cannot register no memory");
    if (access == Access::remote) remote_ = {0, memory.size(), registry_->add(memory)};
  }
  ~KeyedRegistration() override { registry_->remove(remote_.key); }
  KeyedRegistration(const KeyedRegistration&) = delete;
  KeyedRegistration& operator=(const KeyedRegistration&) = delete;

  [[nodiscard]] RemoteMemory remote() const noexcept override { return remote_; }

 private:
  std::shared_ptr<Registry> registry_;
  RemoteMemory remote_;
};

}  // namespace grainfabric::transport
