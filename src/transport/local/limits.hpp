// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

/// Sizes in bytes.
namespace grainfabric::transport::local {

/// Of the queue in each direction. Grains are handed over, so that their headers and the credits
/// are all that flows: a thousand of them fit. Half of what two processes have of L2.
inline constexpr std::size_t kQueueSize = std::size_t{256} << 10U;
/// Longest frame: several fit, so that one is read while the next is written.
inline constexpr std::size_t kMaxFrame = kQueueSize / 4;

inline constexpr std::size_t kMaxWrite = std::size_t{1} << 30U;  ///< As in udp.
inline constexpr std::size_t kMaxMessage = 4096;
inline constexpr std::size_t kMaxInject = 64;
inline constexpr std::size_t kMaxPieces = 8;
/// Operations that wait for room in the queue; also the reads that a peer may ask for at once.
inline constexpr std::size_t kDepth = 256;
/// Files that a peer may have here at once. It shares 512 at most (session/outgoing_lane.cpp), and
/// others are on their way; a process may usually have 1024 descriptors open, for all it does.
inline constexpr std::size_t kMaxShared = 640;
/// Connections that have not said HELLO yet.
inline constexpr std::size_t kMaxStrangers = 8;
/// Frames and packets taken before others have their turn.
inline constexpr std::size_t kProgressBatch = 256;

}  // namespace grainfabric::transport::local
