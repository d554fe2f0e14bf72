// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "session/incoming_grain.hpp"
#include "session/stream_event.hpp"

namespace grainfabric {

/// What a target hands to its streaming thread, in the order of the stream.
using Incoming = std::variant<IncomingGrain, StreamEvent>;

}  // namespace grainfabric
