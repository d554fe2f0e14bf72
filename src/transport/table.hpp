// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/export.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport {

/// The transports present on this host: those built in (local, udp), and modules found beside the
/// engine, or in the folders of GRAINFABRIC_MODULE_PATH (colon-separated), whose libraries load.
/// They are loaded once a process, when somebody asks for what is not built in: libfabric takes a
/// tenth of a second to look around. Any thread.
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
  /// Those among which offers() finds all that it would find among providers().
  [[nodiscard]] std::vector<std::string> providers_for(const std::string& wanted) const;
  [[nodiscard]] const std::vector<Missing>& missing() const { return modules().missing; }
  /// Modules first.
  [[nodiscard]] std::vector<Transport*> transports() const;

  /// Throws Error(invalid_argument) for options that open() will never take, of those providers
  /// that are here: what another host has must not stop this one.
  void check(const ProviderOptions& options) const;

  /// Opens a provider. Throws Error(unknown_provider) with the names there are and what is
  /// missing, or what the transport throws.
  [[nodiscard]] std::unique_ptr<Domain> open(const DomainOptions& options) const;

 private:
  using Transports = std::vector<std::unique_ptr<Transport>>;
  struct Modules {
    Transports transports;
    std::vector<Missing> missing;
    void load(const std::string& module);
  };

  Table();
  [[nodiscard]] const Modules& modules() const;
  [[nodiscard]] Transport* find(const std::string& provider) const;

  Transports built_in_;
  mutable std::once_flag once_;
  mutable Modules modules_;  // see modules()
};

/// Throws Error(unknown_provider) when `wanted` (see offers()) names nothing that is available
/// here.
GRAINFABRIC_API void require_offers(const std::string& wanted);

}  // namespace grainfabric::transport
