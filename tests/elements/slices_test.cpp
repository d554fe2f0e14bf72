// SPDX-License-Identifier: Apache-2.0
// fabricsink slices=N, seen by a target of the engine that wants to hear of slices.
#include <gst/video/video.h>

#include "pair.hpp"
#include "session/target.hpp"
#include "streams.hpp"
#include "transport/table.hpp"

using namespace fabric::test;
using fabric::BufferPtr;
using grainfabric::SliceProgress;

namespace {

const char* const kPicture = "video/x-raw,format=v210,width=640,height=360,framerate=50/1";
constexpr gsize kLine = 1792;  // (640 + 47) / 48 * 128
constexpr gsize kSize = kLine * 360;

struct Report {
  guint32 valid;
  guint32 total;
  gsize slice_size;
  gsize bytes;
};

/// A target that keeps what it hears until it is asked.
class SliceTarget final : public grainfabric::TargetEvents {
 public:
  SliceTarget() : target_(options(), *this) { target_.start(); }

  [[nodiscard]] guint port() const { return target_.port(); }
  /// The next grain's bytes, and in `reports` what was heard of it before.
  std::string next(std::vector<Report>& reports) {
    for (;;) {
      auto incoming = target_.pop(kPatience);
      fail_unless(incoming.has_value(), "no grain comes");
      const auto* grain = std::get_if<grainfabric::IncomingGrain>(&*incoming);
      if (grain == nullptr) continue;
      const std::lock_guard lock(mutex_);
      reports = std::move(reports_);
      reports_.clear();
      return {reinterpret_cast<const char*>(grain->payload.data()), grain->payload.size()};
    }
  }

 private:
  static grainfabric::TargetOptions options() {
    grainfabric::TargetOptions options;
    options.address = address();
    options.port = 0;
    options.provider = provider();
    options.report_slices = true;
    return options;
  }
  void on_peer(const grainfabric::PeerChange&) override {}
  void on_slices(const SliceProgress& progress) override {
    const std::lock_guard lock(mutex_);
    reports_.push_back(
        {progress.valid, progress.total, progress.slice_size, progress.payload.size()});
  }

  std::mutex mutex_;
  std::vector<Report> reports_;
  grainfabric::Target target_;  // ends before what it reports to
};

/// Whether slices arrive one by one over this provider: the bytes travel, and in order.
bool goes_slice_by_slice() {
  const auto domain = grainfabric::transport::Table::shared().open({provider(), address(), {}});
  return domain->capabilities().ordered && !domain->capabilities().shares;
}

/// What comes before a grain. An event has a way of its own, and slices that overtake it are told
/// of together when it is there.
enum class Before { grain, event };

/// One grain, in `total` slices of `slice_size` bytes, the last with the rest.
void expect_slices(SliceTarget& target, const std::string& bytes, guint total, gsize slice_size,
                   Before before = Before::grain) {
  std::vector<Report> reports;
  fail_unless(target.next(reports) == bytes);
  if (before == Before::grain) {
    fail_unless_equals_int(reports.size(), goes_slice_by_slice() ? total : 1U);
  }
  fail_unless(!reports.empty() && reports.back().valid == total);
  guint told = 0;
  for (const Report& report : reports) {
    const guint valid = report.valid;
    fail_unless(valid > told);
    told = valid;
    fail_unless_equals_int(report.total, total);
    fail_unless_equals_uint64(report.slice_size, slice_size);
    fail_unless_equals_uint64(report.bytes, valid == total ? bytes.size() : valid * slice_size);
  }
}

}  // namespace

GST_START_TEST(a_picture_comes_in_slices_of_whole_lines) {
  SliceTarget target;
  Sender sender(target.port(), {{"slices", "8"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  for (unsigned i = 0; i < 3; ++i) {
    const std::string bytes = noise(kSize, i);
    fail_unless_equals_int(sender.push(buffer_of(bytes)), GST_FLOW_OK);
    expect_slices(target, bytes, 8, 45 * kLine);
  }
}
GST_END_TEST

GST_START_TEST(lines_are_as_long_as_the_buffer_says) {
  SliceTarget target;
  Sender sender(target.port(), {{"slices", "7"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  constexpr gint kPadded = 2048;
  const std::string bytes = noise(kPadded * 360, 1);
  BufferPtr buffer = buffer_of(bytes);
  gsize offset[GST_VIDEO_MAX_PLANES] = {};
  gint stride[GST_VIDEO_MAX_PLANES] = {kPadded};
  gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_v210,
                                 640, 360, 1, offset, stride);
  fail_unless_equals_int(sender.push(std::move(buffer)), GST_FLOW_OK);
  expect_slices(target, bytes, 7, 52 * kPadded);  // six of 52 lines, one of 48
}
GST_END_TEST

GST_START_TEST(the_number_may_change_while_the_stream_goes_on) {
  SliceTarget target;
  Sender sender(target.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  const std::string bytes = noise(kSize, 1);
  const auto expect = [&](guint slices, guint total, gsize slice_size) {
    g_object_set(sender.element(), "slices", slices, nullptr);
    fail_unless_equals_int(sender.push(buffer_of(bytes)), GST_FLOW_OK);
    expect_slices(target, bytes, total, slice_size);
  };
  expect(1, 1, 0);
  expect(4, 4, 90 * kLine);
  expect(360, 360, kLine);
  expect(4320, 360, kLine);  // there are no more lines
  expect(1, 1, 0);
}
GST_END_TEST

GST_START_TEST(what_is_no_picture_is_cut_anywhere_and_the_smallest_not_at_all) {
  SliceTarget target;
  Sender sender(target.port(), {{"slices", "8"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  const struct {
    gsize size;
    guint total;
    gsize slice_size;
  } cases[] = {{100'001, 8, 12'501}, {8, 8, 1}, {3, 3, 1}, {1, 1, 0}};
  for (const auto& [size, total, slice_size] : cases) {
    const std::string bytes = noise(size, 1);
    fail_unless_equals_int(sender.push(buffer_of(bytes)), GST_FLOW_OK);
    expect_slices(target, bytes, total, slice_size);
  }
  fail_unless_equals_int(sender.push(BufferPtr(gst_buffer_new())), GST_FLOW_OK);
  expect_slices(target, {}, 1, 0);
}
GST_END_TEST

GST_START_TEST(new_caps_have_lines_of_their_own) {
  SliceTarget target;
  Sender sender(target.port(), {{"slices", "4"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kPicture);
  const std::string picture = noise(kSize, 1);
  fail_unless_equals_int(sender.push(buffer_of(picture)), GST_FLOW_OK);
  expect_slices(target, picture, 4, 90 * kLine);
  const auto caps = caps_of("video/x-raw,format=UYVY,width=100,height=50,framerate=50/1");
  fail_unless(sender.push(gst_event_new_caps(caps.get())));
  const std::string small = noise(200 * 50, 2);
  fail_unless_equals_int(sender.push(buffer_of(small)), GST_FLOW_OK);
  expect_slices(target, small, 4, 13 * 200, Before::event);
  const auto data = caps_of("application/x-anything");
  fail_unless(sender.push(gst_event_new_caps(data.get())));
  fail_unless_equals_int(sender.push(buffer_of(small)), GST_FLOW_OK);
  expect_slices(target, small, 4, 2500, Before::event);
}
GST_END_TEST

namespace {

Suite* slices_suite() {
  Suite* suite = suite_create("slices");
  TCase* cases = tcase_create("slices");
  tcase_add_test(cases, a_picture_comes_in_slices_of_whole_lines);
  tcase_add_test(cases, lines_are_as_long_as_the_buffer_says);
  tcase_add_test(cases, the_number_may_change_while_the_stream_goes_on);
  tcase_add_test(cases, what_is_no_picture_is_cut_anywhere_and_the_smallest_not_at_all);
  tcase_add_test(cases, new_caps_have_lines_of_their_own);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(slices)
