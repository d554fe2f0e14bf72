// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/export.hpp"
#include "transport/interface.hpp"

namespace grainfabric::transport {

/// What `provider=` asks for, as a list of provider names in order of preference, best first:
/// one name or several with commas between, each of them
///  - "auto": local, efa, verbs, tcp, udp, as far as `available` has them; udp before tcp on an
///    interface of large packets where the host's TCP is paced. Others (shm, rxm, …) are faster or
///    slower in ways that depend on the host, or spin a core, and are taken only by name.
///  - NAME: that one, whether available or not. "ofi:NAME" is libfabric's of that name.
GRAINFABRIC_API std::vector<std::string> offers(const std::string& wanted,
                                                const std::vector<std::string>& available,
                                                const PathFacts& path = {});

/// Whether `wanted` has nothing but names that are `available`, and no "auto".
GRAINFABRIC_API bool names_only(const std::string& wanted,
                                const std::vector<std::string>& available);

/// The target's `own` preference applied to what the initiator `offered`: all that both have, in
/// the order of `own`. Without local unless they may be on `one_host`.
GRAINFABRIC_API std::vector<std::string> common_providers(const std::vector<std::string>& own,
                                                          const std::vector<std::string>& offered,
                                                          bool one_host = true);

/// "a, b, c" for messages; "none" for an empty list.
GRAINFABRIC_API std::string join_names(const std::vector<std::string>& names);

}  // namespace grainfabric::transport
