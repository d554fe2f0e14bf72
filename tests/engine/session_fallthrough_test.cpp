// SPDX-License-Identifier: Apache-2.0
// A transport that does not do gives way to the next one, and says why. "verbs" is one that fails
// (failing_transport.cpp).
#include <cstdlib>

#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;

struct Failure {
  const char* step;
  const char* words;
  bool told_to_initiator;  // or found by the target while it opens
};

std::ostream& operator<<(std::ostream& out, const Failure& failure) {
  return out << failure.step;
}

class SessionFallthrough : public testing::TestWithParam<Failure> {
 protected:
  void SetUp() override { ::setenv("GRAINFABRIC_TEST_FAILS", GetParam().step, 1); }
  void TearDown() override { ::unsetenv("GRAINFABRIC_TEST_FAILS"); }
};

TEST_P(SessionFallthrough, the_next_transport_carries_the_stream_and_the_reason_is_told) {
  Receiver receiver(with_provider("verbs,udp"));
  Sender sender(to(receiver, "verbs,udp"));
  sender->start();
  ASSERT_TRUE(sender.push_many(3));
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT_TRUE(next_is(receiver, n));
  for (const Stats& stats : {sender->stats(), receiver->stats()}) {
    EXPECT_EQ(stats.provider, "udp");
    EXPECT_NE(stats.provider_reason.find(std::string("not verbs: ") + GetParam().words),
              std::string::npos)
        << stats.provider_reason;
    EXPECT_EQ(stats.lost, 0U);
  }
  const auto refused = sender.heard.changes(PeerChange::Kind::refused);
  ASSERT_EQ(refused.size(), GetParam().told_to_initiator ? 1U : 0U);
  if (!refused.empty()) {
    EXPECT_NE(refused.front().reason.find(GetParam().words), std::string::npos);
  }
  EXPECT_TRUE(sender.heard.failures().empty());
}

TEST_P(SessionFallthrough, asked_for_alone_it_is_an_error_or_tried_again) {
  Receiver receiver(with_provider("verbs"));
  InitiatorOptions options = to(receiver, "verbs");
  options.connect_timeout = 300ms;
  Sender sender(options);
  sender->start();
  EXPECT_EQ(sender.push(), Initiator::PushResult::failed);
  ASSERT_TRUE(sender.heard.wait_for_failure());
  EXPECT_NE(std::string(sender.heard.failures().front().what()).find(GetParam().words),
            std::string::npos)
      << sender.heard.failures().front().what();
}

TEST(SessionSilence, a_transport_that_never_connects_nor_complains_gives_way_to_the_next) {
  ::setenv("GRAINFABRIC_TEST_FAILS", "connect-silent", 1);
  Receiver receiver(with_provider("verbs,udp"));
  Sender sender(to(receiver, "verbs,udp"));
  sender->start();
  ASSERT_TRUE(sender.push_many(3));
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT_TRUE(next_is(receiver, n));
  EXPECT_EQ(sender->stats().provider, "udp");
  EXPECT_NE(sender->stats().provider_reason.find("not verbs: No data connection with"),
            std::string::npos)
      << sender->stats().provider_reason;
  EXPECT_EQ(sender->stats().lost, 0U);
  ::unsetenv("GRAINFABRIC_TEST_FAILS");
}

INSTANTIATE_TEST_SUITE_P(At, SessionFallthrough,
                         testing::Values(Failure{"open", "The device does not answer", false},
                                         Failure{"open-second", "The device does not answer", true},
                                         Failure{"register", "Cannot pin a byte", true},
                                         Failure{"register-ring", "The target 127.0.0.1", true},
                                         Failure{"connect", "The way is blocked", true}),
                         [](const auto& one) {
                           std::string name = one.param.step;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace grainfabric
