// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "session/outgoing_grain.hpp"

namespace grainfabric {

/// Memory that a target may still be reading after the session has ended: its pipeline may hold a
/// picture for as long as it likes, and a peer that was taken for dead may only have been frozen.
struct LentGrain {
  Release release;
  std::vector<PayloadPart> parts;
};

/// Releases `grains` once `lifeline` (transport::Endpoint::lifeline()) is hung up, at once if there
/// is none. Loop thread. They outlive whoever lent them, and so does the loop.
void release_when_hung_up(EventLoop& loop, UniqueFd lifeline, std::vector<LentGrain> grains);

}  // namespace grainfabric
