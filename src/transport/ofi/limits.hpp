// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>

/// Every number that someone may want to change, with its reason.
namespace grainfabric::transport::ofi {

/// tcp and shm claim 2^64; a length of this size is a mistake, and sums of a few stay in range.
inline constexpr std::size_t kMaxWrite = std::size_t{1} << 30;
/// Control messages are small; every posted receive is a buffer of this size.
inline constexpr std::size_t kMaxMessage = 4096;
/// Transfers in flight per endpoint. rxm offers 2048, far more than hides any round trip.
inline constexpr std::size_t kMaxWriteDepth = 1024;
/// send()s in flight: control messages come by the frame, not by the slice.
inline constexpr std::size_t kSendDepth = 32;
/// Receives posted where only messages take them: twice what the peer can have in flight.
inline constexpr std::size_t kMessageReceiveDepth = 2 * kSendDepth;
/// Receives posted where immediates take one each (verbs): what the device has, but no more than
/// this, since each needs locked memory (4 KiB; 8 MiB is a common limit for all of a process).
inline constexpr std::size_t kMaxReceiveDepth = 1024;
/// Completions served in one progress(), so that one busy endpoint leaves time for others.
inline constexpr std::size_t kProgressBatch = 64;
/// Tries with other random keys when a provider says that a key is taken; a second one is already
/// as likely as a broken random number generator.
inline constexpr int kKeyAttempts = 8;
/// Pause between attempts while a provider says "again" to a handshake message: short beside the
/// 40 ms that rxm takes to connect, long enough to cost nothing.
inline constexpr std::chrono::milliseconds kRetryPause{2};

/// How long another process may hold a lock that it shares with this one. shm copies a piece of a
/// grain under it (100 us); one that is not scheduled for longer than this loses its connection.
inline constexpr std::chrono::seconds kLockPatience{1};

}  // namespace grainfabric::transport::ofi
