// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "raw_peer.hpp"
#include "session/protocol.hpp"
#include "session_pair.hpp"

/// A target, and peers that talk to it by hand.
namespace grainfabric::test {

inline protocol::Hello a_hello() {
  protocol::Hello hello;
  hello.stream = Token::random();
  hello.instance = Token::random();
  hello.offers = {plain_provider()};
  return hello;
}

inline protocol::Config a_config(std::uint64_t epoch = 1) {
  return {epoch, 10'000, 4, Announce::last_piece, {0, 8, 1}};
}

class Hostile : public testing::Test {
 protected:
  explicit Hostile(TargetOptions options = local()) : receiver_(std::move(options)) {}
  /// The target is as good as new: a proper initiator gets a session, and grains cross.
  void expect_service() {
    Sender sender(to(receiver_));
    sender->start();
    ASSERT_EQ(sender.push(), Initiator::PushResult::accepted);
    for (;;) {
      auto incoming = receiver_.pop();
      ASSERT_TRUE(incoming);
      const auto* grain = std::get_if<IncomingGrain>(&*incoming);
      if (grain == nullptr) continue;  // an event that a hostile peer got through
      EXPECT_TRUE(is_whole(*grain));
      break;
    }
    sender->stop();
  }
  RawPeer connect() { return RawPeer(receiver_->port()); }
  RawPeer welcomed(const protocol::Hello& hello = a_hello()) {
    RawPeer peer = connect();
    peer.say(number(protocol::Type::hello), hello.encode());
    EXPECT_TRUE(peer.hear_type(number(protocol::Type::welcome)));
    return peer;
  }

  Receiver receiver_;
};

}  // namespace grainfabric::test
