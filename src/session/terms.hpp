// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

/// The terms of a session: where it is found, and how long and for how much its sides wait.
namespace grainfabric::protocol {

inline constexpr std::uint16_t kDefaultPort = 20886;

/// Interval of HEARTBEAT and STATUS.
inline constexpr std::chrono::milliseconds kHeartbeat{500};
/// A peer silent for this long is dead: ten heartbeats, so that one stalled scheduler does not
/// end a session; three of six libfabric providers hide a death for ever.
inline constexpr std::chrono::milliseconds kSilence{5000};
/// Each step of a handshake: generous for a name server's or a ring registration's second.
inline constexpr std::chrono::milliseconds kHandshakeStep{5000};
/// Written grains that neither complete nor arrive for this long: keys gone stale, or a provider
/// that hides a failure.
inline constexpr std::chrono::milliseconds kStall{5000};
/// How long a transport that failed is passed over where there is another.
inline constexpr std::chrono::seconds kTransportRest{30};
/// How long a side that leaves waits for grains in flight to arrive.
inline constexpr std::chrono::milliseconds kFarewell{1000};
/// Events that an initiator may have on their way before the target's pipeline has taken them.
inline constexpr std::uint64_t kEventWindow = 256;

}  // namespace grainfabric::protocol
