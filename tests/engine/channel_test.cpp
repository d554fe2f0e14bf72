// SPDX-License-Identifier: Apache-2.0
#include "message/channel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <random>

#include "message/fields.hpp"
#include "raw_peer.hpp"

namespace grainfabric {
namespace {

using namespace test;

/// A channel on a loop of its own, and the other end in the test's hands.
class ChannelTest : public testing::Test, public ChannelEvents {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { close(); }

  void open() {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer_.emplace(UniqueFd(ends[1]));
    loop_.call([&] {
      GErrorSlot error;
      const GObjectPtr<GSocket> socket(g_socket_new_from_fd(ends[0], error.out()));
      ASSERT_TRUE(socket) << error.message();
      channel_ = std::make_unique<Channel>(
          loop_,
          GObjectPtr<GSocketConnection>(
              g_socket_connection_factory_create_connection(socket.get())),
          *this);
      channel_->set_max_body(kMaxBody);
    });
  }
  void close() {
    loop_.call([&] { channel_.reset(); });
  }

  void on_message(std::uint16_t type, GVariant* fields) override {
    const std::lock_guard lock(mutex_);
    if (throw_at_ == type) throw Error(ErrorCode::busy, "not now");
    types_.push_back(type);
    if (g_variant_get_size(fields) < 1000) {  // touch everything that a decoder could
      const GlibPtr<char> text(g_variant_print(fields, TRUE));
    }
    if (close_at_ == type) channel_->close();
  }
  void on_channel_closed(const Error& reason) override {
    const std::lock_guard lock(mutex_);
    closed_.push_back(reason);
  }
  std::vector<std::uint16_t> types() {
    const std::lock_guard lock(mutex_);
    return types_;
  }
  std::vector<Error> closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  bool is_closed() {
    return eventually([&] { return !closed().empty(); });
  }

  EventLoop loop_;
  std::unique_ptr<Channel> channel_;
  std::optional<RawPeer> peer_;
  std::mutex mutex_;
  std::vector<std::uint16_t> types_;
  std::vector<Error> closed_;
  std::atomic<int> throw_at_{-1};
  std::atomic<int> close_at_{-1};
};

GlibPtr<GVariant> some_fields(std::size_t body = 100) {
  return FieldWriter()
      .add("text", std::string("hello"))
      .add("number", std::uint64_t{5})
      .add("body", std::span<const std::byte>(std::vector<std::byte>(body, std::byte{'b'})))
      .finish();
}

TEST_F(ChannelTest, messages_cross_whole_however_they_are_cut) {
  std::mt19937 random(1);
  std::vector<std::byte> stream;
  for (std::uint16_t type = 1; type <= 50; ++type) {
    const auto one = frame(type, some_fields(type * 7).get());
    stream.insert(stream.end(), one.begin(), one.end());
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(stream.size(), 500); ++i) {
    ASSERT_TRUE(peer_->say(std::span(stream).subspan(i, 1)));  // first byte by byte
  }
  for (std::size_t at = 500; at < stream.size();) {
    const std::size_t size = std::min<std::size_t>(1 + random() % 1000, stream.size() - at);
    ASSERT_TRUE(peer_->say(std::span(stream).subspan(at, size)));
    at += size;
  }
  ASSERT_TRUE(eventually([&] { return types().size() == 50; }));
  for (std::uint16_t type = 1; type <= 50; ++type) EXPECT_EQ(types_[type - 1U], type);
  EXPECT_TRUE(closed().empty());
}

TEST_F(ChannelTest, the_longest_body_crosses_both_ways) {
  const auto fields = some_fields(std::size_t{8} << 20U);
  std::thread speaker([&] { EXPECT_TRUE(peer_->say(1, fields)); });
  EXPECT_TRUE(eventually([&] { return types().size() == 1; }));
  speaker.join();
  loop_.call([&] { channel_->send(2, fields); });
  const auto message = peer_->hear();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, 2);
  // Not g_variant_equal(), which may print both, a byte at a time.
  const std::size_t size = g_variant_get_size(fields.get());
  ASSERT_EQ(g_variant_get_size(message->fields.get()), size);
  EXPECT_EQ(std::memcmp(g_variant_get_data(message->fields.get()), g_variant_get_data(fields.get()),
                        size),
            0);
}

TEST_F(ChannelTest, types_of_a_later_version_are_handed_on) {
  peer_->say(60'000, some_fields());
  peer_->say(2, some_fields());
  ASSERT_TRUE(eventually([&] { return types().size() == 2; }));
  EXPECT_TRUE(closed().empty());
}

TEST_F(ChannelTest, another_protocol_closes_it_with_a_hint) {
  peer_->say(bytes_of("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  ASSERT_TRUE(is_closed());
  EXPECT_EQ(closed()[0].code(), ErrorCode::protocol);
  EXPECT_NE(closed()[0].remedy().find("20886"), std::string::npos);
  EXPECT_TRUE(peer_->is_closed());
}

TEST_F(ChannelTest, a_body_longer_than_allowed_closes_it_before_it_is_read) {
  loop_.call([&] { channel_->set_max_body(1000); });
  const auto header = encode_frame_header({1, 1001});
  peer_->say(header);
  ASSERT_TRUE(is_closed());
  EXPECT_EQ(closed()[0].code(), ErrorCode::protocol);
  EXPECT_TRUE(types().empty());
}

TEST_F(ChannelTest, before_anything_is_known_of_a_peer_it_gets_little_memory) {
  loop_.call([&] { channel_->set_max_body(kMaxBodyBeforeHello); });
  const auto header = encode_frame_header({1, UINT32_MAX});
  peer_->say(header);
  ASSERT_TRUE(is_closed());
  EXPECT_EQ(closed()[0].code(), ErrorCode::protocol);
}

TEST_F(ChannelTest, an_error_thrown_by_the_user_closes_it_and_is_told_once) {
  throw_at_ = 2;
  for (std::uint16_t type = 1; type <= 3; ++type) peer_->say(type, some_fields());
  ASSERT_TRUE(is_closed());
  loop_.call([] {});
  EXPECT_EQ(types(), std::vector<std::uint16_t>{1});
  EXPECT_EQ(closed().size(), 1U);
  EXPECT_EQ(closed()[0].code(), ErrorCode::busy);
}

TEST_F(ChannelTest, closed_inside_a_message_it_says_nothing_more) {
  close_at_ = 1;
  auto both = frame(1, some_fields().get());
  const auto second = frame(2, some_fields().get());
  both.insert(both.end(), second.begin(), second.end());
  peer_->say(both);
  EXPECT_TRUE(peer_->is_closed());
  loop_.call([] {});
  EXPECT_EQ(types(), std::vector<std::uint16_t>{1});
  EXPECT_TRUE(closed().empty());
}

TEST_F(ChannelTest, what_was_said_last_arrives_before_the_end) {
  peer_->say(std::vector<std::byte>(5, std::byte{'G'}));  // unread input would mean a reset
  loop_.call([&] {
    channel_->send(7, some_fields());
    channel_->close();
    channel_->send(8, some_fields());  // nobody hears that
  });
  const auto message = peer_->hear();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, 7);
  EXPECT_FALSE(peer_->hear());
}

TEST_F(ChannelTest, a_peer_that_goes_is_told_after_what_it_said) {
  peer_->say(1, some_fields());
  peer_->hang_up();
  ASSERT_TRUE(is_closed());
  EXPECT_EQ(types().size(), 1U);
  EXPECT_EQ(closed()[0].code(), ErrorCode::disconnected);
  loop_.call([&] { channel_->send(1, some_fields()); });  // no signal, no harm
}

TEST_F(ChannelTest, a_peer_that_does_not_read_is_given_up_before_memory_is) {
  const auto fields = some_fields(1U << 20U);
  for (int i = 0; i < 64; ++i) {
    loop_.call([&] { channel_->send(1, fields); });
  }
  ASSERT_TRUE(is_closed());
  EXPECT_EQ(closed()[0].code(), ErrorCode::disconnected);
  loop_.call([&] { channel_->send(2, some_fields()); });
}

TEST_F(ChannelTest, a_slow_reader_gets_everything_in_order) {
  for (std::uint16_t type = 0; type < 200; ++type) {
    loop_.call([&] { channel_->send(type, some_fields(50'000)); });
  }
  for (std::uint16_t type = 0; type < 200; ++type) {
    const auto message = peer_->hear();
    ASSERT_TRUE(message) << type;
    EXPECT_EQ(message->type, type);
  }
}

TEST_F(ChannelTest, a_body_of_nothing_is_an_empty_message) {
  peer_->say(frame(3, std::span<const std::byte>()));
  EXPECT_TRUE(eventually([&] { return types().size() == 1; }));
}

TEST_F(ChannelTest, bodies_that_are_not_gvariants_close_it_and_nothing_worse) {
  std::mt19937 random(20886);
  const auto whole = frame(1, some_fields(40).get());
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::byte> body(whole.begin() + kFrameHeaderSize, whole.end());
    for (unsigned i = 0; i < 1 + random() % 6; ++i) {
      body[random() % body.size()] = static_cast<std::byte>(random());
    }
    body.resize(body.size() - random() % 20);
    const std::size_t before = types().size();
    peer_->say(frame(1, body));
    ASSERT_TRUE(eventually([&] {
      loop_.call([] {});
      return types().size() != before || !closed().empty();
    }));
    const auto reasons = closed();
    if (!reasons.empty()) {
      ++refused;
      EXPECT_TRUE(reasons[0].code() == ErrorCode::protocol) << reasons[0].what();
      close();
      open();
      const std::lock_guard lock(mutex_);
      closed_.clear();
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace grainfabric
