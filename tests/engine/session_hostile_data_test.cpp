// SPDX-License-Identifier: Apache-2.0
// What a target makes of an initiator that is proper until it writes into the ring.
#include "hostile.hpp"
#include "transport_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using protocol::Type;

/// An initiator by hand, down to the data connection.
class HostileData : public Hostile {
 protected:
  void SetUp() override {
    peer_.emplace(welcomed());
    domain_ = transport::Table::shared().open({plain_provider(), "127.0.0.1"});
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
      [](GrainHeader& h) { h.shared = 1; },  // nothing was shared
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
