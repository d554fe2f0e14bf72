// SPDX-License-Identifier: Apache-2.0
// What a target makes of peers that are mistaken, broken or mean on the control connection.
#include "hostile.hpp"
#include "message/fields.hpp"

namespace grainfabric {
namespace {

using namespace test;
using protocol::Type;
using PushResult = Initiator::PushResult;

TEST_F(Hostile, another_version_is_refused_in_words) {
  RawPeer peer = connect();
  peer.say(
      number(Type::hello),
      FieldWriter().add("version", std::uint64_t{999}).add("novelty", std::string("x")).finish());
  const auto message = peer.hear_type(number(Type::refuse));
  ASSERT_TRUE(message);
  const auto refuse = protocol::Refuse::decode(message->fields.get());
  EXPECT_EQ(refuse.code, ErrorCode::version);
  EXPECT_NE(refuse.text.find("999"), std::string::npos);
  EXPECT_TRUE(peer.is_closed());
  ASSERT_TRUE(receiver_.heard.wait_for(PeerChange::Kind::refused));
  EXPECT_NE(receiver_.heard.changes(PeerChange::Kind::refused)[0].reason.find("version 999"),
            std::string::npos);
  expect_service();
}

TEST_F(Hostile, an_initiator_without_a_common_transport_is_refused_in_words) {
  RawPeer peer = connect();
  auto hello = a_hello();
  hello.offers = {"pigeon", "verbs;ofi_rxd"};
  peer.say(number(Type::hello), hello.encode());
  const auto message = peer.hear_type(number(Type::refuse));
  ASSERT_TRUE(message);
  EXPECT_EQ(protocol::Refuse::decode(message->fields.get()).code, ErrorCode::unknown_provider);
  expect_service();
}

TEST_F(Hostile, other_protocols_are_turned_away) {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\0\0\0\0\0\0\0\0\0\0\0\0\0", 13),
        std::string("GFC2________________"), std::string(100'000, 'x')}) {
    RawPeer peer = connect();
    peer.say(bytes_of(text));
    EXPECT_TRUE(peer.is_closed());
  }
  EXPECT_TRUE(receiver_.heard.wait_for(PeerChange::Kind::refused, 4));
  expect_service();
}

TEST_F(Hostile, nothing_is_listened_to_before_hello) {
  for (std::uint16_t type = 2; type <= 11; ++type) {
    RawPeer peer = connect();
    peer.say(type, a_config().encode());
    EXPECT_TRUE(peer.is_closed()) << type;
  }
  expect_service();
}

TEST_F(Hostile, connections_that_come_and_go_are_no_refusals) {
  for (int i = 0; i < 20; ++i) connect().hang_up();
  expect_service();
  EXPECT_EQ(receiver_->stats().refused, 0U);
  EXPECT_EQ(receiver_.heard.count(PeerChange::Kind::refused), 0U);
}

TEST_F(Hostile, silent_connections_keep_nobody_out) {
  std::vector<RawPeer> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(connect());
  expect_service();
  EXPECT_TRUE(silent[0].is_closed());  // the oldest had to go
  for (RawPeer& peer : silent) peer.say(bytes_of("G"));
}

TEST_F(Hostile, a_session_is_not_disturbed_by_what_happens_on_its_port) {
  Sender sender(to(receiver_));
  sender->start();
  // Else one of the others might be the first to say HELLO.
  ASSERT_TRUE(sender.heard.wait_for(PeerChange::Kind::connected));
  std::atomic<bool> stop{false};
  std::thread pusher([&] {
    while (!stop) EXPECT_EQ(sender.push(), PushResult::accepted);
  });
  std::thread nuisance([&] {
    for (int i = 0; i < 300; ++i) {
      RawPeer peer = connect();
      switch (i % 5) {
        case 1:
          peer.say(bytes_of("garbage garbage garbage"));
          break;
        case 2:
          peer.say(bytes_of("GFC1"));
          break;
        case 3:
          peer.say(number(Type::hello), a_hello().encode());
          break;
        case 4:
          peer.say(number(Type::hello), FieldWriter().finish());
          break;
        default:
          break;
      }
      const bool waits_for_more = i % 5 == 0 || i % 5 == 2;
      if (!waits_for_more && i % 2 == 0) {
        EXPECT_TRUE(peer.is_closed()) << i;
      }
    }
    stop = true;
  });
  std::uint64_t last = 0;
  while (const auto grain = receiver_.pop_grain(stop ? 100ms : kPatience)) {
    ASSERT_EQ(grain->info.sequence, ++last);
    EXPECT_TRUE(is_whole(*grain));
  }
  nuisance.join();
  pusher.join();
  EXPECT_EQ(sender->stats().reconnects, 0U);
  EXPECT_EQ(receiver_.heard.count(PeerChange::Kind::connected), 1U);
  EXPECT_EQ(receiver_.heard.count(PeerChange::Kind::disconnected), 0U);
  EXPECT_GE(receiver_->stats().refused, 100U);
}

TEST_F(Hostile, a_session_ends_at_the_first_message_that_makes_no_sense) {
  const std::pair<const char*, std::vector<std::byte>> bad[] = {
      {"HELLO again", frame(number(Type::hello), a_hello().encode().get())},
      {"CONFIG of nothing", frame(number(Type::config), FieldWriter().finish().get())},
      {"EVENT out of turn",
       frame(number(Type::event), protocol::Event{7, 0, {"e", false, {}}}.encode().get())},
      {"EVENT of nothing", frame(number(Type::event), FieldWriter().finish().get())},
      {"garbage", bytes_of("no frame, whatever it is")},
      {"a body that is no GVariant", frame(number(Type::event), bytes_of("xxxxxxxxxxxxxxxxxxx"))},
  };
  std::size_t ended = 0;
  for (const auto& [what, bytes] : bad) {
    RawPeer peer = welcomed();
    peer.say(bytes);
    EXPECT_TRUE(peer.is_closed()) << what;
    EXPECT_TRUE(receiver_.heard.wait_for(PeerChange::Kind::disconnected, ++ended)) << what;
  }
  for (const auto& change : receiver_.heard.changes(PeerChange::Kind::disconnected)) {
    EXPECT_FALSE(change.orderly) << change.reason;
  }
  expect_service();
}

TEST_F(Hostile, messages_of_a_later_version_are_skipped) {
  RawPeer peer = welcomed();
  peer.say(999, FieldWriter().add("novelty", std::uint64_t{1}).finish());
  peer.say(number(Type::config), a_config().encode());
  EXPECT_TRUE(peer.hear_type(number(Type::ring)));
}

TEST_F(Hostile, an_epoch_that_has_been_ends_the_session) {
  RawPeer peer = welcomed();
  peer.say(number(Type::config), a_config(5).encode());
  ASSERT_TRUE(peer.hear_type(number(Type::ring)));
  peer.say(number(Type::config), a_config(5).encode());
  EXPECT_TRUE(peer.is_closed());
  expect_service();
}

TEST_F(Hostile, nobody_collects_rings_without_end) {
  RawPeer peer = welcomed();
  for (std::uint64_t epoch = 1; epoch <= 200; ++epoch) {
    if (!peer.say(number(Type::config), a_config(epoch).encode())) break;
  }
  EXPECT_TRUE(peer.is_closed());
  expect_service();
}

TEST_F(Hostile, a_flood_of_events_that_cannot_be_delivered_ends_the_session) {
  RawPeer peer = welcomed();
  for (std::uint64_t i = 1; i <= 5000; ++i) {  // all after a grain that never comes
    if (!peer.say(number(Type::event), protocol::Event{i, 1'000'000, {"e", false, {}}}.encode()))
      break;
  }
  EXPECT_TRUE(peer.is_closed());
  expect_service();
}

TEST_F(Hostile, a_flood_of_events_that_nobody_takes_ends_the_session) {
  RawPeer peer = welcomed();
  for (std::uint64_t i = 1; i <= 5000; ++i) {  // each can be delivered at once
    if (!peer.say(number(Type::event), protocol::Event{i, 0, {"e", false, {}}}.encode())) break;
  }
  ASSERT_TRUE(receiver_.heard.wait_for(PeerChange::Kind::disconnected));
  EXPECT_NE(receiver_.heard.changes(PeerChange::Kind::disconnected)[0].reason.find("window"),
            std::string::npos);
  expect_service();
}

TEST_F(Hostile, what_an_answer_that_was_never_heard_said_is_not_delivered_by_it) {
  auto hello = a_hello();
  hello.next_sequence = 101;
  for (int i = 0; i < 3; ++i) {
    RawPeer peer = connect();
    peer.say(number(Type::hello), hello.encode());
    const auto message = peer.hear_type(number(Type::welcome));
    ASSERT_TRUE(message);
    EXPECT_EQ(protocol::Welcome::decode(message->fields.get()).last_sequence, 0U) << i;
  }
  EXPECT_EQ(receiver_->stats().lost, 0U);  // of what was before it knew the stream
  hello.next_sequence = 111;               // ten were sent, and none came
  welcomed(hello);
  EXPECT_EQ(receiver_->stats().lost, 10U);
  welcomed(hello);
  EXPECT_EQ(receiver_->stats().lost, 10U);
}

TEST_F(Hostile, grains_of_sessions_long_gone_do_not_fill_the_memory) {
  constexpr std::uint64_t kSessions = 8;
  for (std::uint64_t i = 0; i < kSessions; ++i) {  // nobody pops
    Sender sender(to(receiver_));
    sender->start();
    sender.push_event("kept", true);
    ASSERT_TRUE(sender.push_many(4));
    ASSERT_TRUE(sender->drain(kPatience));
    sender->stop();
    ASSERT_TRUE(receiver_.heard.wait_for(PeerChange::Kind::disconnected, i + 1));
  }
  EXPECT_EQ(receiver_->stats().grains, 4 * kSessions);
  const std::uint64_t dropped = receiver_->stats().dropped;
  EXPECT_GT(dropped, 0U);
  std::uint64_t taken = 0;
  while (auto incoming = receiver_.pop(100ms)) {
    if (const auto* grain = std::get_if<IncomingGrain>(&*incoming)) {
      EXPECT_TRUE(is_whole(*grain));
      ++taken;
    }
  }
  EXPECT_EQ(taken + dropped, 4 * kSessions);
  EXPECT_LE(taken, 16U);
}

TEST_F(Hostile, a_hello_of_a_stream_that_is_served_takes_it_over) {
  const auto hello = a_hello();
  RawPeer first = connect();
  first.say(number(Type::hello), hello.encode());
  ASSERT_TRUE(first.hear_type(number(Type::welcome)));
  RawPeer second = connect();  // it comes back before the target noticed that it was gone
  second.say(number(Type::hello), hello.encode());
  const auto message = second.hear_type(number(Type::welcome));
  ASSERT_TRUE(message);
  EXPECT_TRUE(protocol::Welcome::decode(message->fields.get()).known);
  EXPECT_TRUE(first.is_closed());
}

}  // namespace
}  // namespace grainfabric
