// SPDX-License-Identifier: Apache-2.0
#include "transport/choice.hpp"

#include <algorithm>

namespace grainfabric::transport {
namespace {

/// Hardware first; see src/README.md for what was measured.
constexpr const char* kAutomatic[] = {"efa", "verbs", "tcp"};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> offers(const std::string& wanted,
                                const std::vector<std::string>& available) {
  constexpr char kPrefix[] = "ofi:";
  if (wanted.rfind(kPrefix, 0) == 0) return {wanted.substr(sizeof kPrefix - 1)};
  if (!wanted.empty() && wanted != "auto") return {wanted};
  std::vector<std::string> names;
  for (const char* name : kAutomatic) {
    if (contains(available, name)) names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> common_providers(const std::vector<std::string>& own,
                                          const std::vector<std::string>& offered) {
  std::vector<std::string> common;
  std::copy_if(own.begin(), own.end(), std::back_inserter(common),
               [&](const std::string& name) { return contains(offered, name); });
  return common;
}

std::string join_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

}  // namespace grainfabric::transport
