// SPDX-License-Identifier: Apache-2.0
// What a target makes of peers that are mistaken, broken or mean.
#include "message/fields.hpp"
#include "raw_peer.hpp"
#include "session_pair.hpp"
#include "transport_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using protocol::Type;
using PushResult = Initiator::PushResult;

std::uint16_t number(Type type) {
  return static_cast<std::uint16_t>(type);
}

protocol::Hello a_hello() {
  protocol::Hello hello;
  hello.stream = Token::random();
  hello.instance = Token::random();
  hello.offers = {"tcp"};
  return hello;
}

protocol::Config a_config(std::uint64_t epoch = 1) {
  return {epoch, 10'000, 4, Announce::last_piece, {0, 8, 1}};
}

class Hostile : public testing::Test {
 protected:
  /// The target is as good as new: a proper initiator gets a session, and grains cross.
  void expect_service() {
    Sender sender(to(receiver_));
    sender->start();
    ASSERT_EQ(sender.push(), PushResult::accepted);
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
  RawPeer welcomed() {
    RawPeer peer = connect();
    peer.say(number(Type::hello), a_hello().encode());
    EXPECT_TRUE(peer.hear_type(number(Type::welcome)));
    return peer;
  }
  ErrorCode refusal(RawPeer& peer) {
    const auto message = peer.hear_type(number(Type::refuse));
    if (!message) return ErrorCode::io;
    return protocol::Refuse::decode(message->fields.get()).code;
  }

  Receiver receiver_;
};

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
  EXPECT_EQ(refusal(peer), ErrorCode::unknown_provider);
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

/// An initiator by hand, down to the data connection.
class HostileData : public Hostile {
 protected:
  void SetUp() override {
    peer_.emplace(welcomed());
    domain_ = transport::Table::shared().open({"tcp", "127.0.0.1"});
    credit_ = std::make_unique<transport::Registered>(*domain_, 8, transport::Access::remote);
    source_ = std::make_unique<transport::Registered>(*domain_, 8192, transport::Access::local);
    protocol::Config config = a_config();
    config.credit = credit_->remote();
    peer_->say(number(Type::config), config.encode());
    const auto message = peer_->hear_type(number(Type::ring));
    ASSERT_TRUE(message);
    ring_ = protocol::Ring::decode(message->fields.get());
  }
  void TearDown() override {
    endpoint_.reset();
    peer_.reset();
  }
  bool dial(const Token& token) {
    endpoint_ = domain_->connect(ring_.address, token, events_);
    loop_.add(*endpoint_);
    loop_.run_until([&] { return events_.connected == 1 || !events_.closed.empty(); }, kPatience);
    return events_.connected == 1;
  }
  GrainHeader header() const {
    GrainHeader header{};
    header.magic = kGrainMagic;
    header.version = kGrainVersion;
    header.header_size = sizeof header;
    header.epoch = 1;
    header.sequence = 1;
    header.payload_size = 100;
    header.pts = header.dts = kNone;
    header.total_slices = 1;
    return header;
  }
  void write(const GrainHeader& header, std::uint32_t immediate, std::uint64_t slot = 0) {
    std::memcpy(source_->bytes.data(), &header, sizeof header);
    const transport::LocalPiece piece = source_->piece(0, sizeof header + 100);
    ASSERT_EQ(endpoint_->write({&piece, 1},
                               ring_.memory.address + slot * slot_stride(ring_.capacity) +
                                   kSlotHeaderSize - sizeof header,
                               ring_.memory.key, immediate, 1),
              transport::Posted::ok);
  }
  void expect_end_of_session(const char* what) {
    bool ended = false;
    EXPECT_TRUE(loop_.run_until(
        [&] {
          ended = ended || receiver_.heard.count(PeerChange::Kind::disconnected) == 1;
          return ended;
        },
        kPatience))
        << what;
  }

  std::optional<RawPeer> peer_;
  std::unique_ptr<transport::Domain> domain_;
  std::unique_ptr<transport::Registered> credit_;
  std::unique_ptr<transport::Registered> source_;
  protocol::Ring ring_;
  transport::Recorder events_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  transport::PollLoop loop_;
};

TEST_F(HostileData, a_data_connection_without_the_token_is_refused_and_the_right_one_still_serves) {
  EXPECT_FALSE(dial(Token::random()));
  EXPECT_EQ(events_.closed.size(), 1U);
  loop_.remove(*endpoint_);
  endpoint_.reset();
  events_ = {};
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0, 1));
  loop_.run_until([&] { return !events_.completed.empty(); }, kPatience);
  const auto grain = receiver_.pop_grain();
  ASSERT_TRUE(grain);
  EXPECT_EQ(grain->payload.size(), 100U);
}

TEST_F(HostileData, a_grain_header_that_makes_no_sense_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  GrainHeader bad = header();
  bad.magic = 0;
  write(bad, make_immediate(0, 1));
  expect_end_of_session("magic");
  TearDown();
  expect_service();
}

TEST_F(HostileData, a_slot_without_credit_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0, 1));
  const auto held = receiver_.pop_grain();
  ASSERT_TRUE(held);
  write(header(), make_immediate(0, 1));  // it is still read from
  expect_end_of_session("slot 0 twice");
}

TEST_F(HostileData, a_slot_that_is_none_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0xFFFF, 1));
  expect_end_of_session("slot 65535");
}

TEST_F(HostileData, a_grain_that_was_sent_before_ends_the_session) {
  ASSERT_TRUE(dial(ring_.token));
  write(header(), make_immediate(0, 1));
  write(header(), make_immediate(1, 1), 1);
  expect_end_of_session("sequence 1 twice");
}

TEST_F(HostileData, no_field_of_a_header_leads_out_of_the_slot) {
  // One session for each: lane.open() is where all of them are checked.
  const std::function<void(GrainHeader&)> changes[] = {
      [](GrainHeader& h) { h.version = 2; },
      [](GrainHeader& h) { h.header_size = 64; },
      [](GrainHeader& h) { h.epoch = 2; },
      [](GrainHeader& h) { h.sequence = 0; },
      [](GrainHeader& h) { h.payload_size = 10'001; },
      [](GrainHeader& h) { h.payload_size = UINT64_MAX; },
      [](GrainHeader& h) { h.metadata_size = kMaxHeaderMetadata + 1; },
      [](GrainHeader& h) { h.metadata_size = UINT32_MAX; },
      [](GrainHeader& h) { h.metadata_place = 7; },
      [](GrainHeader& h) {
        h.metadata_place = 1;
        h.metadata_size = 9'901;
      },
      [](GrainHeader& h) {
        h.metadata_place = 1;
        h.metadata_size = kMaxMetadata + 1;
      },
  };
  std::size_t ended = 0;
  for (const auto& change : changes) {
    if (ended > 0) {
      TearDown();
      events_ = {};
      loop_ = {};
      SetUp();
    }
    ASSERT_TRUE(dial(ring_.token));
    GrainHeader bad = header();
    change(bad);
    write(bad, make_immediate(0, 1));
    ++ended;
    EXPECT_TRUE(loop_.run_until(
        [&] { return receiver_.heard.count(PeerChange::Kind::disconnected) == ended; }, kPatience))
        << ended;
  }
}

}  // namespace
}  // namespace grainfabric
