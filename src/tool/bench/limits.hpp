// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every number of the benchmark that someone may want to change, with its reason.
namespace grainfabric::tool {

/// Longest message: longer ones measure the memory of the host.
inline constexpr std::uint64_t kMaxSize = std::uint64_t{4} << 30U;
/// Most messages in flight, as many as a ring of the elements may have.
inline constexpr std::uint64_t kMaxDepth = 1024;
/// Messages in flight unless told otherwise: hides any round trip of a LAN …
inline constexpr std::uint64_t kDefaultDepth = 16;
/// … but no more than this many bytes, so that large messages stay within a ring's usual size.
inline constexpr std::uint64_t kDefaultBytesInFlight = std::uint64_t{64} << 20U;
/// A peer silent for this long is dead. Longer than a session's, since filling and comparing
/// memory holds up the loop that says HEARTBEAT.
inline constexpr std::chrono::milliseconds kSilence{10000};
/// Nothing completes and nothing arrives for this long: a provider that hides a failure.
inline constexpr std::chrono::milliseconds kStall{10000};
/// Pause before what found a queue full is tried again, where no completion says when.
inline constexpr std::chrono::milliseconds kRetry{1};
/// Connections that have not said HELLO yet; one more than that is closed at once.
inline constexpr std::size_t kMaxStrangers = 16;

}  // namespace grainfabric::tool
