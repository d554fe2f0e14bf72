// SPDX-License-Identifier: Apache-2.0
#include "session/backoff.hpp"

#include <gtest/gtest.h>

namespace grainfabric {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, pauses_are_moments_at_first_and_less_than_a_second_at_last) {
  Backoff backoff;
  EXPECT_LE(backoff.next(), 75ms);
  auto longest = 0ms;
  for (int i = 0; i < 1000; ++i) longest = std::max(longest, backoff.next());
  EXPECT_GT(longest, 500ms);  // a dead target is not asked without end as often as at first
  EXPECT_LE(longest, 750ms);
  backoff.reset();
  EXPECT_LE(backoff.next(), 75ms);
}

}  // namespace
}  // namespace grainfabric
