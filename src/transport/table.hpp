// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/export.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport {

/// The transports present on this host: those built in (udp), and modules found beside the engine,
/// or in the folders of GRAINFABRIC_MODULE_PATH (colon-separated), whose libraries load. Filled
/// once a process, at first use; any thread.
class GRAINFABRIC_API Table {
 public:
  static const Table& shared();

  /// A module that is not there or does not work on this host.
  struct Missing {
    std::string module;
    std::string reason;
  };

  /// All provider names that open() takes now.
  [[nodiscard]] std::vector<std::string> providers() const;
  [[nodiscard]] const std::vector<Missing>& missing() const noexcept { return missing_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Transport>>& transports() const noexcept {
    return transports_;
  }

  /// Throws Error(invalid_argument) for options that open() will never take, of those providers
  /// that are here: what another host has must not stop this one.
  void check(const ProviderOptions& options) const;

  /// Opens a provider. Throws Error(unknown_provider) with the names there are and what is
  /// missing, or what the transport throws.
  [[nodiscard]] std::unique_ptr<Domain> open(const DomainOptions& options) const;

 private:
  Table();
  [[nodiscard]] Transport* find(const std::string& provider) const;
  void load(const std::string& module);

  std::vector<std::unique_ptr<Transport>> transports_;
  std::vector<Missing> missing_;
};

/// Throws Error(unknown_provider) when `wanted` (see offers()) names nothing that is available
/// here.
GRAINFABRIC_API void require_offers(const std::string& wanted);

}  // namespace grainfabric::transport
