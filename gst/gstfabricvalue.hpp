// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <cstddef>
#include <span>
#include <vector>

#include "gstptr.hpp"

/// Structures, caps and tag lists as GVariants and back, for the meta and the event codec.
///
/// Not by gst_structure_to_string(): its parser answers bad input with criticals (a range that runs
/// backwards, a fraction of G_MININT, "(void)1", a GstBuffer that is no hex) and recurses without a
/// bound, and what comes from a peer may cause neither. Buffers and samples in tags survive, too.
///
/// A value travels with the name of its kind, a field as (name, kind, value):
///
/// | kind                     | GVariant type         | GStreamer or GLib type                    |
/// |--------------------------|-----------------------|-------------------------------------------|
/// | boolean int uint         | b i u                 | gboolean, gint, guint                     |
/// | int64 uint64 long ulong  | x t x t               |                                           |
/// | char uchar               | i u                   | gchar, guchar                             |
/// | float double             | d d                   |                                           |
/// | string strv gtype        | ms as s               | gchar*, GStrv, GType by name              |
/// | enum flags               | (ss) (su)             | type and nick; type and bits              |
/// | fraction bitmask         | (ii) t                | GstFraction, GstBitmask                   |
/// | flag-set                 | (uu)                  | GstFlagSet: flags, mask                   |
/// | int-range int64-range    | (iii) (xxx)           | first, last, step                         |
/// | double-range             | (dd)                  |                                           |
/// | fraction-range           | (iiii)                |                                           |
/// | list array               | a(sv)                 | GstValueList, GstValueArray of one kind   |
/// | structure                | (sa(ssv))             | name, fields                              |
/// | caps                     | (ba(bas(sa(ssv))))    | ANY; per structure: ANY, features         |
/// | tag-list                 | (ba(ssv))             | global scope; values of a tag in order    |
/// | buffer                   | (ay(tttttu))          | bytes; PTS, DTS, duration, offsets, flags |
/// | sample                   | (mvmvmv)              | buffer, caps, info; not its segment       |
/// | bytes date               | ay (yyq)              | GBytes; GDate: day, month, year           |
/// | date-time                | (iiiiidd)             | GstDateTime: y, m, d, h, min, s, zone (h) |
/// | g-date-time              | (xi)                  | GDateTime: Unix time in us, zone in s     |
///
/// What else a GValue can hold (objects, pointers, boxed types of other libraries) means nothing to
/// another process: the sender leaves that field out. A receiver leaves out a field of a kind,
/// enum type or tag that it does not know.
namespace fabric {

/// Structures within structures deeper than this are left out (sender) or refused (receiver).
inline constexpr unsigned kMaxValueDepth = 16;

/// Debug category "fabriccodec".
GstDebugCategory* codec_category();

/// Never null; the GVariant types are those of the table.
VariantPtr structure_to_variant(const GstStructure* structure);
VariantPtr caps_to_variant(const GstCaps* caps);
VariantPtr tag_list_to_variant(const GstTagList* tags);

/// Null when the variant is of another type or makes no sense. It must be in normal form.
StructurePtr structure_from_variant(GVariant* variant);
CapsPtr caps_from_variant(GVariant* variant);
TagListPtr tag_list_from_variant(GVariant* variant);

/// Appends the variant, little-endian and in normal form.
void append_variant(GVariant* variant, std::vector<std::byte>& out);
/// The variant of `type` in bytes from a peer; null when they are not in normal form.
VariantPtr read_variant(const GVariantType* type, std::span<const std::byte> bytes);

/// Null when there is no such moment.
DateTimePtr date_time_from_unix(gint64 microseconds, gint32 utc_offset_seconds);
gint64 date_time_to_unix(GDateTime* date_time);
gint32 date_time_utc_offset(GDateTime* date_time);

/// Whether gst_structure_new_empty() takes that name (it warns about others).
bool is_structure_name(const char* name);

}  // namespace fabric
