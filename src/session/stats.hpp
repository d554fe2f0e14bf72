// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace grainfabric {

/// Counters of one side of a stream, from its start. An initiator's grains end up in exactly one of
/// `grains` (accepted), `dropped`; of the accepted ones `lost` never reached a target.
struct Stats {
  std::uint64_t grains = 0;          ///< Initiator: accepted by push(). Target: delivered.
  std::uint64_t bytes = 0;           ///< Payload of `grains`.
  std::uint64_t bytes_copied = 0;    ///< Payload that was copied into or out of a slot by us.
  std::uint64_t grains_copied = 0;   ///< Grains with such a copy.
  std::uint64_t grains_foreign = 0;  ///< Grains sent from memory that is not a slot of ours.
  /// Initiator: not accepted, for want of a credit or a peer, and told not to wait. Target:
  /// delivered, and never taken by a pipeline that was paused while its peer came and went.
  std::uint64_t dropped = 0;
  std::uint64_t lost = 0;         ///< Initiator: accepted, never arrived. Target: gaps seen.
  std::uint64_t reconnects = 0;   ///< Sessions after the first.
  std::uint64_t refused = 0;      ///< Target: connections turned away.
  std::uint64_t credits = 0;      ///< Slots that the initiator may write now.
  std::uint64_t slots = 0;        ///< Of the current ring.
  std::uint64_t epoch = 0;        ///< Of the current ring.
  std::uint64_t latency_p50 = 0;  ///< ns from push() to delivery at the target, by TAI clocks.
  std::uint64_t latency_p99 = 0;
  std::string provider;         ///< "" without a session.
  std::string provider_reason;  ///< Why that one was chosen.
  std::string interface;        ///< What this side has it on: "eth0", "mlx5_0"; may be empty.
  std::string peer;             ///< "host:port", "" without a session.
};

/// Something happened to a peer.
struct PeerChange {
  enum class Kind { connected, disconnected, refused };
  Kind kind = Kind::connected;
  std::string peer;      ///< "host:port"
  std::string provider;  ///< For connected.
  std::string reason;    ///< A sentence: why this provider, why it went, why it was refused.
  bool orderly = false;  ///< For disconnected: it said BYE, nothing is missing.
};

}  // namespace grainfabric
