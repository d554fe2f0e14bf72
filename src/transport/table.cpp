// SPDX-License-Identifier: Apache-2.0
#include "transport/table.hpp"

#include <gmodule.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/log.hpp"
#include "base/signals.hpp"
#include "transport/choice.hpp"
#include "transport/local/local.hpp"
#include "transport/udp/udp.hpp"

namespace grainfabric::transport {
namespace {

// "verbs" first: what it opens itself is not left to libfabric.
constexpr const char* kModules[] = {"verbs", "ofi"};

std::vector<std::string> module_folders() {
  std::vector<std::string> folders;
  if (const char* path = std::getenv("GRAINFABRIC_MODULE_PATH")) {
    std::istringstream stream(path);
    for (std::string folder; std::getline(stream, folder, ':');) {
      if (!folder.empty()) folders.push_back(folder);
    }
  }
  folders.emplace_back(GRAINFABRIC_MODULE_DIR);
  return folders;
}

}  // namespace

const Table& Table::shared() {
  // Never destroyed: libraries beneath the modules have exit handlers and threads of their own.
  static const Table* table = new Table;  // NOLINT(cppcoreguidelines-owning-memory)
  return *table;
}

Table::Table() {
  built_in_.push_back(local::make_transport());
  built_in_.push_back(udp::make_transport());
}

const Table::Modules& Table::modules() const {
  std::call_once(once_, [this] {
    for (const char* module : kModules) modules_.load(module);
  });
  return modules_;
}

void Table::Modules::load(const std::string& module) {
  const std::string file = "libgrainfabric-" + module + ".so";
  std::string reason = "this build has no such module (" + file + " is not in";
  for (const std::string& folder : module_folders()) {
    const std::string path = folder + "/" + file;
    reason += " " + folder;
    std::error_code unreadable;
    if (!std::filesystem::exists(path, unreadable)) continue;
    const SignalHandlersKept handlers;
    GModule* handle = g_module_open(path.c_str(), G_MODULE_BIND_LOCAL);
    if (handle == nullptr) {
      reason = g_module_error();
      missing.push_back({module, reason});
      log(LogLevel::info, "transport",
          "Transport module " + module + " is not available: " + reason);
      return;
    }
    g_module_make_resident(handle);
    gpointer symbol = nullptr;
    if (g_module_symbol(handle, kModuleSymbol, &symbol) != TRUE) {
      missing.push_back({module, path + " is not a transport module of this version"});
      return;
    }
    try {
      std::unique_ptr<Transport> transport(reinterpret_cast<ModuleEntry>(symbol)());
      if (!transport) throw Error(ErrorCode::unsupported, path + " gives no transport");
      transports.push_back(std::move(transport));
    } catch (const Error& error) {
      missing.push_back({module, error.what()});
      log(LogLevel::info, "transport",
          "Transport module " + module + " is not available: " + error.what());
    }
    return;
  }
  missing.push_back({module, reason + ")"});
  log(LogLevel::info, "transport",
      "Transport module " + module + " is not available: " + reason + ")");
}

namespace {

void append_names(const std::vector<std::unique_ptr<Transport>>& transports,
                  std::vector<std::string>* names) {
  for (const auto& transport : transports) {
    const auto more = transport->providers();
    names->insert(names->end(), more.begin(), more.end());
  }
}

Transport* find_among(const std::vector<std::unique_ptr<Transport>>& transports,
                      const std::string& provider) {
  for (const auto& transport : transports) {
    const auto names = transport->providers();
    if (std::find(names.begin(), names.end(), provider) != names.end()) return transport.get();
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> Table::providers() const {
  std::vector<std::string> names;
  append_names(modules().transports, &names);
  append_names(built_in_, &names);
  return names;
}

std::vector<std::string> Table::providers_for(const std::string& wanted) const {
  std::vector<std::string> names;
  append_names(built_in_, &names);
  return names_only(wanted, names) ? names : providers();
}

std::vector<Transport*> Table::transports() const {
  std::vector<Transport*> all;
  for (const auto& transport : modules().transports) all.push_back(transport.get());
  for (const auto& transport : built_in_) all.push_back(transport.get());
  return all;
}

Transport* Table::find(const std::string& provider) const {
  Transport* const built_in = find_among(built_in_, provider);
  return built_in != nullptr ? built_in : find_among(modules().transports, provider);
}

void Table::check(const ProviderOptions& options) const {
  for (const auto& [provider, given] : options) {
    if (const Transport* transport = find(provider)) {
      transport->check(provider, given);
    } else {
      log(LogLevel::info, "transport", "Options of " + provider + ", which is not on this host");
    }
  }
}

std::unique_ptr<Domain> Table::open(const DomainOptions& options) const {
  if (Transport* transport = find(options.provider)) {
    DomainOptions complete = options;
    complete.options = configured_options(options.provider, options.options);
    transport->check(options.provider, complete.options);
    return transport->open(complete);
  }
  std::string known;
  for (const std::string& name : providers()) known += (known.empty() ? "" : ", ") + name;
  std::string failure = "Provider \"" + options.provider + "\" is not available on this host";
  for (const Missing& one : missing()) {
    failure += "; transport module " + one.module + ": " + one.reason;
  }
  throw Error(ErrorCode::unknown_provider, failure,
              "Available here: auto, " + known + "." +
                  (missing().empty() ? "" : " Install libfabric (package libfabric1) for others."));
}

void require_offers(const std::string& wanted) {
  const Table& table = Table::shared();
  const auto available = table.providers_for(wanted);
  const auto names = offers(wanted, available);
  const bool any = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(available.begin(), available.end(), name) != available.end();
  });
  if (!any) static_cast<void>(table.open({names.empty() ? wanted : names.front(), {}}));  // throws
}

}  // namespace grainfabric::transport
