// SPDX-License-Identifier: Apache-2.0
// What an initiator makes of targets that are mistaken, broken or mean: it says so, tries again,
// and serves the stream as soon as a proper target is there.
#include <cstdlib>

#include "message/fields.hpp"
#include "raw_peer.hpp"
#include "session/protocol.hpp"
#include "session_pair.hpp"

namespace grainfabric {
namespace {

using namespace test;
using protocol::Type;
using PushResult = Initiator::PushResult;

class Impostor : public testing::Test {
 protected:
  void SetUp() override { begin(); }
  /// A new initiator, which has not learnt to wait between its attempts.
  void begin() {
    sender_.reset();
    listener_.emplace();
    sender_ = std::make_unique<Sender>(to(listener_->port()));
    (*sender_)->reserve(1000);
    (*sender_)->start();
  }
  /// The next attempt of the initiator, after its HELLO.
  std::optional<RawPeer> attempt() {
    auto peer = listener_->accept();
    if (!peer) return std::nullopt;
    const auto hello = peer->hear();
    EXPECT_TRUE(hello && hello->type == number(Type::hello));
    return peer;
  }
  static GlibPtr<GVariant> welcome(const std::string& provider = plain_provider(),
                                   bool known = false, std::uint64_t last_sequence = 0) {
    protocol::Welcome welcome;
    welcome.instance = Token::random();
    welcome.provider = provider;
    welcome.reason = "because";
    welcome.known = known;
    welcome.last_sequence = last_sequence;
    return welcome.encode();
  }
  /// … and after CONFIG, which is in config_.
  std::optional<RawPeer> session() {
    auto peer = attempt();
    if (!peer) return std::nullopt;
    peer->say(number(Type::welcome), welcome());
    const auto config = peer->hear_type(number(Type::config));
    EXPECT_TRUE(config);
    if (config) config_ = protocol::Config::decode(config->fields.get());
    return peer;
  }
  protocol::Ring ring() const {
    protocol::Ring ring;
    ring.epoch = config_.epoch;
    ring.capacity = config_.capacity;
    ring.slots = config_.slots;
    ring.memory = {0, ring.slots * slot_stride(ring.capacity), 1};
    ring.address = {"FI_SOCKADDR_IN", std::vector<std::byte>(16)};
    ring.token = Token::random();
    return ring;
  }
  /// A proper target in the impostor's place gets the stream.
  void expect_recovery() {
    const std::uint16_t port = listener_->port();
    listener_.reset();
    Receiver receiver(local(port));
    ASSERT_EQ(sender_->push(), PushResult::accepted);
    const auto grain = receiver.pop_grain();
    ASSERT_TRUE(grain);
    EXPECT_TRUE(is_whole(*grain));
    EXPECT_TRUE(sender_->heard.failures().empty());
    sender_->end();
  }

  std::optional<RawListener> listener_;
  std::unique_ptr<Sender> sender_;
  protocol::Config config_;
};

TEST_F(Impostor, a_configuration_that_cannot_be_read_ends_the_stream_in_words) {
  sender_.reset();
  ASSERT_EQ(::setenv("GRAINFABRIC_CONFIG", "/nonexistent/transport.conf", 1), 0);
  begin();
  EXPECT_TRUE(sender_->heard.wait_for_failure());
  ::unsetenv("GRAINFABRIC_CONFIG");
  ASSERT_EQ(sender_->heard.failures().size(), 1U);
  EXPECT_NE(std::string(sender_->heard.failures()[0].what()).find("/nonexistent"),
            std::string::npos);
}

TEST_F(Impostor, whoever_hangs_up_is_tried_again) {
  for (int i = 0; i < 3; ++i) {
    auto peer = attempt();
    ASSERT_TRUE(peer);
    peer->hang_up();
  }
  EXPECT_TRUE(sender_->heard.wait_for(PeerChange::Kind::refused));
  expect_recovery();
}

TEST_F(Impostor, another_protocol_in_answer_to_hello_is_reported) {
  auto peer = attempt();
  ASSERT_TRUE(peer);
  peer->say(bytes_of("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"));
  EXPECT_TRUE(peer->is_closed());
  ASSERT_TRUE(sender_->heard.wait_for(PeerChange::Kind::refused));
  EXPECT_NE(sender_->heard.changes(PeerChange::Kind::refused)[0].reason.find("does not speak"),
            std::string::npos);
  expect_recovery();
}

TEST_F(Impostor, a_first_answer_that_is_no_welcome_means_nothing) {
  const std::pair<const char*, std::vector<std::byte>> bad[] = {
      {"WELCOME of nothing", frame(number(Type::welcome), FieldWriter().finish().get())},
      {"WELCOME with what was not offered", frame(number(Type::welcome), welcome("shm").get())},
      {"WELCOME with a pigeon", frame(number(Type::welcome), welcome("pigeon").get())},
      {"WELCOME without transport", frame(number(Type::welcome), welcome("").get())},
      {"STATUS", frame(number(Type::status),
                       protocol::Status{UINT64_MAX, UINT64_MAX, UINT64_MAX}.encode().get())},
      {"RING", frame(number(Type::ring), ring().encode().get())},
      {"RING of nothing", frame(number(Type::ring), FieldWriter().finish().get())},
      {"BYE", frame(number(Type::bye), protocol::Bye{UINT64_MAX, "so soon"}.encode().get())},
      {"no GVariant", frame(number(Type::welcome), bytes_of("xxxxxxxxxxxxxxxxxxx"))},
  };
  for (const auto& [what, bytes] : bad) {
    begin();
    auto peer = attempt();
    ASSERT_TRUE(peer) << what;
    peer->say(bytes);
    EXPECT_TRUE(peer->is_closed()) << what;
    EXPECT_TRUE(sender_->heard.wait_for(PeerChange::Kind::refused)) << what;
    EXPECT_EQ(sender_->heard.count(PeerChange::Kind::connected), 0U) << what;
  }
  expect_recovery();
}

TEST_F(Impostor, a_ring_that_cannot_be_ends_the_session_and_it_is_tried_again) {
  const std::pair<const char*, std::function<void(protocol::Ring&)>> bad[] = {
      {"another epoch", [](auto& r) { r.epoch = 99; }},
      {"too small", [](auto& r) { r.capacity = 1; }},
      {"one slot", [](auto& r) { r.slots = 1; }},
      {"countless slots", [](auto& r) { r.slots = UINT64_MAX; }},
      {"a short memory", [](auto& r) { r.memory.length = 100; }},
      {"a key beyond",
       [](auto& r) {
         r.memory = {UINT64_MAX - 5, UINT64_MAX, UINT64_MAX};
         r.address.bytes.clear();
       }},
      {"an endless address", [](auto& r) { r.address.bytes.resize(100'000); }},
      {"no address", [](auto& r) { r.address.bytes.clear(); }},
      {"an unknown kind of address", [](auto& r) { r.address.format = "FI_ADDR_MORSE"; }},
      {"an address of zeros", [](auto&) {}},
  };
  for (const auto& [what, change] : bad) {
    begin();
    auto peer = session();
    ASSERT_TRUE(peer) << what;
    protocol::Ring one = ring();
    change(one);
    peer->say(number(Type::ring), one.encode());
    EXPECT_TRUE(peer->is_closed()) << what;
    EXPECT_TRUE(sender_->heard.wait_for(PeerChange::Kind::disconnected)) << what;
  }
  expect_recovery();
}

TEST_F(Impostor, a_ring_whose_address_nobody_has_is_reported_and_tried_again) {
  auto peer = session();
  ASSERT_TRUE(peer);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(free_port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  protocol::Ring one = ring();
  std::memcpy(one.address.bytes.data(), &address, sizeof address);
  peer->say(number(Type::ring), one.encode());
  EXPECT_TRUE(peer->is_closed());
  ASSERT_TRUE(sender_->heard.wait_for(PeerChange::Kind::disconnected));
  expect_recovery();
}

TEST_F(Impostor, a_session_ends_at_the_first_message_that_makes_no_sense) {
  const std::pair<const char*, std::vector<std::byte>> bad[] = {
      {"WELCOME again", frame(number(Type::welcome), welcome().get())},
      {"garbage", bytes_of("no frame, whatever it is")},
      {"STATUS of nothing", frame(number(Type::status), FieldWriter().finish().get())},
      {"UPSTREAM of nothing", frame(number(Type::upstream), FieldWriter().finish().get())},
      {"busy now",
       frame(number(Type::refuse), protocol::Refuse{ErrorCode::busy, "no"}.encode().get())},
  };
  for (const auto& [what, bytes] : bad) {
    begin();
    auto peer = session();
    ASSERT_TRUE(peer) << what;
    peer->say(bytes);
    EXPECT_TRUE(peer->is_closed()) << what;
    EXPECT_TRUE(sender_->heard.wait_for(PeerChange::Kind::disconnected)) << what;
  }
  expect_recovery();
}

TEST_F(Impostor, a_status_that_promises_too_much_confuses_nobody) {
  auto peer = session();
  ASSERT_TRUE(peer);
  peer->say(number(Type::status), protocol::Status{UINT64_MAX, UINT64_MAX, UINT64_MAX}.encode());
  peer->say(999, FieldWriter().finish());  // and what a later version says is skipped
  ASSERT_EQ((*sender_)->push_event({"e", false, {}}, {.wait_for_credit = false}),
            PushResult::accepted);
  EXPECT_TRUE(peer->hear_type(number(Type::event)));
  EXPECT_EQ((*sender_)->stats().lost, 0U);
  peer->hang_up();
  expect_recovery();
}

TEST_F(Impostor, what_cannot_heal_is_a_failure_and_the_rest_is_tried_again) {
  for (const ErrorCode code : {ErrorCode::busy, ErrorCode::refused, ErrorCode::io}) {
    auto peer = attempt();
    ASSERT_TRUE(peer);
    peer->say(number(Type::refuse), protocol::Refuse{code, to_string(code)}.encode());
  }
  EXPECT_TRUE(sender_->heard.failures().empty());
  EXPECT_TRUE(sender_->heard.wait_for(PeerChange::Kind::refused, 3));
  auto peer = attempt();
  ASSERT_TRUE(peer);
  peer->say(number(Type::refuse), protocol::Refuse{ErrorCode::version, "speak up"}.encode());
  ASSERT_TRUE(sender_->heard.wait_for_failure());
  EXPECT_EQ(sender_->heard.failures()[0].code(), ErrorCode::version);
  EXPECT_EQ(sender_->push(), PushResult::failed);
}

TEST_F(Impostor, sessions_that_never_get_a_ring_are_tried_less_and_less_often) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 6; ++i) {  // 50 + 100 + … + 800 ms, each less by up to a half
    auto peer = session();
    ASSERT_TRUE(peer);
    peer->hang_up();
  }
  EXPECT_GT(std::chrono::steady_clock::now() - begin, 700ms);
}

TEST_F(Impostor, flushing_breaks_a_drain_that_waits) {
  auto peer = session();
  ASSERT_TRUE(peer);
  sender_->push_event("never delivered");
  std::thread drainer([&] { EXPECT_FALSE((*sender_)->drain(kPatience)); });
  std::this_thread::sleep_for(50ms);
  EXPECT_LT(time_of([&] {
              (*sender_)->set_flushing(true);
              drainer.join();
            }),
            kAtOnce);
}

TEST_F(Impostor, a_farewell_that_is_not_answered_is_not_waited_for_long) {
  auto peer = session();
  ASSERT_TRUE(peer);
  const auto took = time_of([&] { (*sender_)->stop(); });
  EXPECT_GE(took, protocol::kFarewell - 10ms);
  EXPECT_LT(took, protocol::kFarewell + 1s * kSlowdown);
  EXPECT_TRUE(peer->hear_type(number(Type::bye)));
}

TEST_F(Impostor, hello_says_what_the_protocol_promises) {
  auto peer = listener_->accept();
  ASSERT_TRUE(peer);
  const auto message = peer->hear();
  ASSERT_TRUE(message);
  const auto hello = protocol::Hello::decode(message->fields.get());
  EXPECT_EQ(hello.version, protocol::kVersion);
  EXPECT_EQ(hello.offers, std::vector<std::string>{plain_provider()});
  EXPECT_EQ(hello.next_sequence, 1U);
  EXPECT_NE(hello.stream, Token{});
  EXPECT_EQ(hello.software.rfind("grainfabric ", 0), 0U);
}

}  // namespace
}  // namespace grainfabric
