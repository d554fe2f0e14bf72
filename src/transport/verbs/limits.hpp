// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every number that someone may want to change and that is no option (settings.hpp), with its
/// reason.
namespace grainfabric::transport::verbs {

/// Longest write: a length of this size is a mistake, and sums of a few stay in range.
inline constexpr std::size_t kMaxWrite = std::size_t{1} << 30;
/// Control messages are small; every posted receive is a buffer of this size.
inline constexpr std::size_t kMaxMessage = 4096;
/// send()s in flight: control messages come by the frame, not by the slice.
inline constexpr std::size_t kSendBuffers = 32;
/// Receives posted for each work request that the peer may have in flight: acknowledged immediates
/// may wait here still unserved while the next are coming. 4 KiB of locked memory each.
inline constexpr std::size_t kReceivesPerWrite = 2;
/// Queue pairs of one endpoint, what `queue-pairs` may be: a peer that asks for more is mistaken,
/// and each costs a round trip to connect and some 2 MiB of locked memory.
inline constexpr int kMaxQueuePairs = 16;
/// Work requests that a queue pair has room for at least: one write may take half of them.
inline constexpr int kFewestSends = 4;
/// Completions served in one progress(), so that one busy endpoint leaves time for others; also
/// read from the queue at once.
inline constexpr std::size_t kProgressBatch = 64;
/// Events of a completion channel are acknowledged this many at a time, since each acknowledgement
/// takes a mutex (ibv_ack_cq_events(3)).
inline constexpr unsigned kAcknowledgeBatch = 64;
/// Reads in flight per queue pair, what ConnectX has had for ever; 128 on soft-RoCE helps nobody.
inline constexpr std::uint8_t kReadDepth = 16;
/// Time for each of address and route resolution: both within kConnectTimeout.
inline constexpr std::chrono::milliseconds kResolveTimeout{2000};
/// Pending requests at a listener that waits for one peer: a few strangers must not keep it out.
inline constexpr int kBacklog = 16;
/// Of a spinning loop's calls, one in this many looks at the connection manager and at the device,
/// a system call each; before and after sleeping every call does.
inline constexpr unsigned kControlInterval = 256;

}  // namespace grainfabric::transport::verbs
