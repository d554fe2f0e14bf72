// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "gstfabricvalue.hpp"
#include "gstfabricvalue_read.hpp"

namespace fabric {
namespace {

Outcome decode_date_time(GVariant* in, Value& out) {
  gint year = 0;
  gint month = 0;
  gint day = 0;
  gint hour = 0;
  gint minute = 0;
  double second = 0;
  double zone = 0;
  g_variant_get(in, "(iiiiidd)", &year, &month, &day, &hour, &minute, &second, &zone);
  // gst_date_time_new() asserts all of this, and takes a part only with the greater ones.
  constexpr gint kNone = -1;
  const bool has_time = hour != kNone;
  if (year < 1 || year > 9999) return Outcome::malformed;
  if (month == kNone ? day != kNone : month < 1 || month > 12) return Outcome::malformed;
  if (day == kNone ? has_time
                   : day < 1 || !g_date_valid_dmy(static_cast<GDateDay>(std::min(day, 32)),
                                                  static_cast<GDateMonth>(month),
                                                  static_cast<GDateYear>(year))) {
    return Outcome::malformed;
  }
  if (has_time ? hour < 0 || hour > 23 || minute < 0 || minute > 59 : minute != kNone) {
    return Outcome::malformed;
  }
  const bool has_second = second >= 0.0 && second < 60.0;
  if (!has_second && second != -1.0) return Outcome::malformed;
  if (has_second && !has_time) return Outcome::malformed;
  if (!(has_time ? zone >= -12.0 && zone <= 12.0 : zone == 0.0)) return Outcome::malformed;
  GstDateTime* date_time = has_time ? gst_date_time_new(static_cast<gfloat>(zone), year, month, day,
                                                        hour, minute, second)
                                    : gst_date_time_new_ymd(year, month, day);
  if (date_time == nullptr) return Outcome::malformed;
  g_value_take_boxed(g_value_init(out.get(), GST_TYPE_DATE_TIME), date_time);
  return Outcome::ok;
}

}  // namespace

Outcome decode_time(std::string_view kind, GVariant* in, Value& out) {
  if (kind == "date-time" && holds(in, "(iiiiidd)")) return decode_date_time(in, out);
  if (kind == "g-date-time" && holds(in, "(xi)")) {
    gint64 microseconds = 0;
    gint32 utc_offset = 0;
    g_variant_get(in, "(xi)", &microseconds, &utc_offset);
    return take(out, G_TYPE_DATE_TIME, date_time_from_unix(microseconds, utc_offset));
  }
  if (kind == "date" && holds(in, "(yyq)")) {
    guchar day = 0;
    guchar month = 0;
    guint16 year = 0;
    g_variant_get(in, "(yyq)", &day, &month, &year);
    if (!g_date_valid_dmy(day, static_cast<GDateMonth>(month), year)) return Outcome::malformed;
    g_value_take_boxed(g_value_init(out.get(), G_TYPE_DATE),
                       g_date_new_dmy(day, static_cast<GDateMonth>(month), year));
    return Outcome::ok;
  }
  return Outcome::unknown;
}

DateTimePtr date_time_from_unix(gint64 microseconds, gint32 utc_offset_seconds) {
  constexpr gint32 kDay = 24 * 60 * 60;
  if (utc_offset_seconds <= -kDay || utc_offset_seconds >= kDay) return nullptr;
  gint64 seconds = microseconds / G_USEC_PER_SEC;
  gint64 rest = microseconds % G_USEC_PER_SEC;
  if (rest < 0) {
    rest += G_USEC_PER_SEC;
    --seconds;
  }
  const DateTimePtr whole{g_date_time_new_from_unix_utc(seconds)};
  if (!whole) return nullptr;
  const DateTimePtr utc{g_date_time_add(whole.get(), rest)};
  if (!utc) return nullptr;
  const TimeZonePtr zone{g_time_zone_new_offset(utc_offset_seconds)};
  return DateTimePtr{g_date_time_to_timezone(utc.get(), zone.get())};
}

}  // namespace fabric
