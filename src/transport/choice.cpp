// SPDX-License-Identifier: Apache-2.0
#include "transport/choice.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <sstream>
#include <string_view>

#include "transport/local/local.hpp"

namespace grainfabric::transport {
namespace {

/// No copy before all else, then hardware, rdma-core before libfabric over it. Of those in software
/// the one that is ahead on such an interface; see src/README.md for what was measured.
constexpr std::array kAutomatic = {"local", "efa", "verbs", "ofi:verbs", "tcp", "udp"};
constexpr std::array kAutomaticUdp = {"local", "efa", "verbs", "ofi:verbs", "udp", "tcp"};
/// Between the usual 1500 and the 9000 of jumbo frames.
constexpr std::size_t kLargeMtu = 8192;

/// Transports of our own, whose names libfabric uses for others.
constexpr const char* kOwn[] = {"verbs", "udp"};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "ofi:tcp" is plain "tcp" to the transports; "ofi:verbs" stays what it is.
std::string canonical(const std::string& name, const std::vector<std::string>& available) {
  constexpr std::string_view kFamily = "ofi:";
  if (!name.starts_with(kFamily) || contains(available, name)) return name;
  const std::string plain = name.substr(kFamily.size());
  const bool is_own = std::find(std::begin(kOwn), std::end(kOwn), plain) != std::end(kOwn);
  return contains(available, plain) && !is_own ? plain : name;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> names;
  std::istringstream stream(list);
  for (std::string name; std::getline(stream, name, ',');) {
    const std::size_t first = name.find_first_not_of(' ');
    if (first == std::string::npos) continue;
    names.push_back(name.substr(first, name.find_last_not_of(' ') - first + 1));
  }
  return names;
}

}  // namespace

std::vector<std::string> offers(const std::string& wanted,
                                const std::vector<std::string>& available, const PathFacts& path) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (!contains(names, name)) names.push_back(name);
  };
  std::vector<std::string> asked = split(wanted);
  if (asked.empty()) asked.emplace_back("auto");
  for (const std::string& name : asked) {
    if (name != "auto") {
      add(canonical(name, available));
      continue;
    }
    const bool udp_is_ahead = path.mtu >= kLargeMtu && path.tcp_is_paced;
    for (const char* automatic : udp_is_ahead ? kAutomaticUdp : kAutomatic) {
      if (contains(available, automatic)) add(automatic);
    }
  }
  return names;
}

bool names_only(const std::string& wanted, const std::vector<std::string>& available) {
  const std::vector<std::string> asked = split(wanted);
  return !asked.empty() && std::all_of(asked.begin(), asked.end(), [&](const std::string& name) {
    return contains(available, name);
  });
}

std::vector<std::string> common_providers(const std::vector<std::string>& own,
                                          const std::vector<std::string>& offered, bool one_host) {
  std::vector<std::string> common;
  std::copy_if(own.begin(), own.end(), std::back_inserter(common), [&](const std::string& name) {
    return contains(offered, name) && (one_host || name != local::kProvider);
  });
  return common;
}

std::string join_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

}  // namespace grainfabric::transport
