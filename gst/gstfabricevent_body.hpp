// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The names of events and what their bodies hold. A body is an a{sv}, little-endian, in normal
/// form; a reader ignores a key that it does not know.
///
/// | name                            | sticky | keys                                              |
/// |---------------------------------|--------|---------------------------------------------------|
/// | stream-start                    | yes    | stream-id s, flags u, group-id u (if it has one)  |
/// | caps                            | yes    | caps (gstfabricvalue.hpp)                         |
/// | segment                         | yes    | format s (nick), flags u, rate d, applied-rate d; |
/// |                                 |        | t each: base, offset, start, stop, time,          |
/// |                                 |        | position, duration                                |
/// | tag:stream, tag:global          | yes    | tags (gstfabricvalue.hpp); one of each is kept    |
/// | toc:current, toc:global         | yes    | updated b, entries av, tags (if it has any)       |
/// | eos                             | yes    |                                                   |
/// | custom-downstream-sticky:<name> | yes    | structure, whose name is <name>                   |
/// | custom-downstream, custom-both  | no     | structure (if it has one)                         |
/// | custom-upstream                 | no     | structure (if it has one)                         |
/// | gap                             | no     | timestamp t, duration t, flags u                  |
/// | segment-done                    | no     | format s (nick), position x                       |
/// | stream-group-done               | no     | group-id u                                        |
/// | instant-rate-change             | no     | rate d, flags u                                   |
/// | reconfigure                     | no     |                                                   |
///
/// Each has seqnum u (0 for none) and running-time-offset x as well. An entry of a table of
/// contents is kTocEntryType: type, uid, start, stop, loop, repeats, tags, entries within.
///
/// What does not travel: the GstStream object of stream-start, and in structures and tags what
/// gstfabricvalue.hpp names.
namespace fabric::body {

inline constexpr const char* kNameStreamStart = "stream-start";
inline constexpr const char* kNameCaps = "caps";
inline constexpr const char* kNameSegment = "segment";
inline constexpr const char* kNameTagStream = "tag:stream";
inline constexpr const char* kNameTagGlobal = "tag:global";
inline constexpr const char* kNameTocCurrent = "toc:current";
inline constexpr const char* kNameTocGlobal = "toc:global";
inline constexpr const char* kNameEos = "eos";
inline constexpr const char* kNameGap = "gap";
inline constexpr const char* kNameSegmentDone = "segment-done";
inline constexpr const char* kNameStreamGroupDone = "stream-group-done";
inline constexpr const char* kNameInstantRateChange = "instant-rate-change";
inline constexpr const char* kNameReconfigure = "reconfigure";
inline constexpr const char* kNameCustomDownstream = "custom-downstream";
inline constexpr const char* kNameCustomBoth = "custom-both";
inline constexpr const char* kNameCustomUpstream = "custom-upstream";
inline constexpr const char* kPrefixCustomSticky = "custom-downstream-sticky:";

inline constexpr const char* kSeqnum = "seqnum";
inline constexpr const char* kRunningTimeOffset = "running-time-offset";
inline constexpr const char* kStreamId = "stream-id";
inline constexpr const char* kGroupId = "group-id";
inline constexpr const char* kFlags = "flags";
inline constexpr const char* kCaps = "caps";
inline constexpr const char* kFormat = "format";
inline constexpr const char* kRate = "rate";
inline constexpr const char* kAppliedRate = "applied-rate";
inline constexpr const char* kBase = "base";
inline constexpr const char* kOffset = "offset";
inline constexpr const char* kStart = "start";
inline constexpr const char* kStop = "stop";
inline constexpr const char* kTime = "time";
inline constexpr const char* kPosition = "position";
inline constexpr const char* kDuration = "duration";
inline constexpr const char* kTimestamp = "timestamp";
inline constexpr const char* kTags = "tags";
inline constexpr const char* kUpdated = "updated";
inline constexpr const char* kEntries = "entries";
inline constexpr const char* kStructure = "structure";

inline constexpr const char* kTocEntryType = "(isxxii(ba(ssv))av)";
/// Entries within entries deeper than this are left out (sender) or refused (receiver).
inline constexpr unsigned kMaxTocDepth = 16;

}  // namespace fabric::body
