// SPDX-License-Identifier: Apache-2.0
#include "session/offers.hpp"

#include <algorithm>
#include <utility>

#include "session/terms.hpp"
#include "transport/choice.hpp"
#include "transport/table.hpp"

namespace grainfabric {

std::vector<std::string> Offers::current() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(failed_, [&](const Failed& failed) { return failed.until <= now; });
  auto names = transport::offers(wanted_, transport::Table::shared().providers_for(wanted_));
  std::erase_if(names, [&](const std::string& name) {
    return std::any_of(failed_.begin(), failed_.end(),
                       [&](const Failed& failed) { return failed.provider == name; });
  });
  return names;
}

bool Offers::pass_over(const std::string& provider, const Error& reason) {
  failed_.push_back(
      {provider, reason.failure(), std::chrono::steady_clock::now() + protocol::kTransportRest});
  if (!current().empty()) return true;
  failed_.clear();
  return false;
}

std::string Offers::passed_over() const {
  std::string text;
  for (const Failed& failed : failed_) text += "; not " + failed.provider + ": " + failed.why;
  return text;
}

}  // namespace grainfabric
