// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every number that someone may want to change, with its reason. Sizes in bytes.
namespace grainfabric::transport::udp {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using namespace std::chrono_literals;

// What the user may ask for.
inline constexpr std::size_t kMaxWrite = std::size_t{1} << 30;  ///< Longer is a mistake; as in ofi.
inline constexpr std::size_t kMaxMessage = 4096;
inline constexpr std::size_t kMaxInject = 64;  ///< Credits are 8; kept inside the operation.
inline constexpr std::size_t kMaxPieces = 8;   ///< What a Transfer has.

// Operations that have not landed, per endpoint and kind. Together they fit kOperations.
inline constexpr std::size_t kWriteDepth =
    256;  ///< 128 MiB in pieces of a Rail: far over a window.
inline constexpr std::size_t kInjectDepth = 128;  ///< Credits: one a slot, and rings are shorter.
inline constexpr std::size_t kSendDepth = 32;     ///< Messages come by the frame, not by the slice.
inline constexpr std::size_t kReadDepth = 32;     ///< Also how many a peer may ask of this side.
inline constexpr std::size_t kOperations = 512;   ///< A power of two.
/// Immediates, small writes and parts of messages that wait at the receiver for what is missing
/// before them: what kOperations can be cut into (a message of 4096 in 4 datagrams of 1,200).
inline constexpr std::size_t kMaxPending = kOperations + 4 * kSendDepth;

/// Most in flight where the round trip is short: half of a core's L2 cache, so that bytes are still
/// there when the receiver copies them. Measured with 256 KiB, 512 KiB, 1 MiB and 2 MiB (CPU s/GB
/// of both sides, mean of two): loopback 0.23, 0.22, 0.24, 0.25; veth, MTU 1500 0.51, 0.50, 0.48,
/// 0.48. (On a processor with 1 MiB of L2, 1 to 8 MiB, loopback: within 5 %.)
inline constexpr std::size_t kCacheWindow = std::size_t{1} << 20;
/// Most in flight where it is at least kLongPath and the pipe takes more: 10 Gbit/s by 3 ms.
inline constexpr std::size_t kMaxWindow = std::size_t{4} << 20;
inline constexpr auto kLongPath = 500us;
/// How far the stream may run ahead of what has landed in order.
inline constexpr std::uint64_t kStreamWindow = 8 * kMaxWindow;
/// Packets in flight whose fate is open: kMaxWindow in datagrams of 1,200, rounded to a power of 2.
inline constexpr std::size_t kMaxPackets = 4096;
/// Asked of the kernel for each direction; it counts twice that with its own overhead.
inline constexpr int kSocketBuffer = 2 * static_cast<int>(kMaxWindow);
/// Holes that a receiver keeps apart, in packet numbers and in the stream; one more is a loss.
inline constexpr std::size_t kMaxRanges = 256;

// Datagrams.
inline constexpr std::size_t kBaseDatagram =
    1200;  ///< Passes everywhere (RFC 8899 5.1.2, RFC 9000).
inline constexpr std::size_t kMaxDatagram = 65'507;  ///< Of IPv4: 65535 less its and UDP's header.
/// A shorter payload is not worth to be received straight into its place.
inline constexpr std::size_t kLeastDirect = 1024;
/// From this payload on a look at the next header (a system call) costs less than a copy.
inline constexpr std::size_t kWorthPeeking = 16'384;
/// A second header and payload would not fit beside such a datagram in one GSO send.
inline constexpr std::size_t kMaxSegments = 60;  ///< UDP_MAX_SEGMENTS of Linux is 64.

// Work in one call.
inline constexpr std::size_t kSendBatch = 8;      ///< Messages to one sendmmsg.
inline constexpr std::size_t kReceiveBatch = 16;  ///< Messages from one recvmmsg.
/// System calls that receive in one progress(), so that one busy endpoint leaves time for others.
inline constexpr std::size_t kProgressBatch = 8;

// Time.
inline constexpr auto kFirstRetry = 50ms;  ///< HELLO; doubled each time up to …
inline constexpr auto kLongestRetry = 800ms;
/// Of acknowledgements that nobody waits for. It is the most of what a probe timeout takes on a
/// short path: with 4 ms, and 1 ms as granularity, 10 % of loss left a third of the throughput
/// (0.018 instead of 0.065 GB/s at 2 Gbit/s).
inline constexpr auto kMaxAckDelay = 500us;
inline constexpr auto kKeepAlive = 1000ms;  ///< Silence after which the peer is asked …
inline constexpr auto kSilence = 5000ms;    ///< … and after which it is gone.
/// Silence that is enough once the peer's host says that nobody has this port.
inline constexpr auto kRefusedSilence = 300ms;
inline constexpr auto kSendRetry = 1ms;    ///< After the kernel had no room for a datagram.
inline constexpr auto kLogInterval = 10s;  ///< Between two warnings of the same kind.

}  // namespace grainfabric::transport::udp
