// SPDX-License-Identifier: Apache-2.0
#include "session/protocol.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "message/fields.hpp"
#include "session/grain.hpp"

namespace grainfabric::protocol {
namespace {

/// The fields of a message with some of them changed.
class Changed {
 public:
  explicit Changed(const GlibPtr<GVariant>& fields) { g_variant_dict_init(&dict_, fields.get()); }
  Changed(const Changed&) = delete;
  ~Changed() { g_variant_dict_clear(&dict_); }
  Changed& with(const char* name, std::uint64_t value) {
    g_variant_dict_insert_value(&dict_, name, g_variant_new_uint64(value));
    return *this;
  }
  Changed& with_value(const char* name, GVariant* value) {
    g_variant_dict_insert_value(&dict_, name, value);
    return *this;
  }
  Changed& without(const char* name) {
    g_variant_dict_remove(&dict_, name);
    return *this;
  }
  GlibPtr<GVariant> get() {
    return GlibPtr<GVariant>(g_variant_ref_sink(g_variant_dict_end(&dict_)));
  }

 private:
  GVariantDict dict_;
};

template <typename Message>
void expect_refused(const GlibPtr<GVariant>& fields, const char* what) {
  try {
    static_cast<void>(Message::decode(fields.get()));
    FAIL() << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::protocol) << what;
  }
}

Config a_config() {
  return {3, 5000, 8, Announce::every_piece, {1, 8, 2}};
}

Ring a_ring() {
  Ring ring;
  ring.epoch = 3;
  ring.capacity = 5000;
  ring.slots = 8;
  ring.memory = {0x1000, 8 * slot_stride(5000), 99};
  ring.address = {"FI_SOCKADDR_IN", std::vector<std::byte>(16, std::byte{5})};
  ring.token = Token::random();
  return ring;
}

Hello a_hello() {
  Hello hello;
  hello.stream = Token::random();
  hello.instance = Token::random();
  hello.host = "here";
  hello.software = "test";
  hello.offers = {"verbs", "tcp"};
  hello.next_sequence = 17;
  return hello;
}

TEST(Protocol, hello_says_who_it_is_and_what_it_has) {
  const Hello hello = a_hello();
  const Hello back = Hello::decode(hello.encode().get());
  EXPECT_EQ(back.version, kVersion);
  EXPECT_EQ(back.stream, hello.stream);
  EXPECT_EQ(back.instance, hello.instance);
  EXPECT_EQ(back.host, "here");
  EXPECT_EQ(back.software, "test");
  EXPECT_EQ(back.offers, hello.offers);
  EXPECT_EQ(back.next_sequence, 17U);
}

TEST(Protocol, of_another_version_only_the_version_is_read) {
  const auto fields = FieldWriter().add("version", kVersion + 1).finish();
  EXPECT_EQ(Hello::decode(fields.get()).version, kVersion + 1);
  expect_refused<Hello>(FieldWriter().add("version", kVersion).finish(), "nothing but a version");
  expect_refused<Hello>(FieldWriter().finish(), "no version");
}

TEST(Protocol, hello_bounds_what_a_stranger_may_leave_here) {
  Hello hello = a_hello();
  hello.host = std::string(20'000, 'h');
  hello.offers.assign(1000, "x");
  const Hello back = Hello::decode(hello.encode().get());
  EXPECT_LE(back.host.size(), 1024U);
  EXPECT_LE(back.offers.size(), 64U);
  hello.host = std::string(1023, 'h') + "\u00e4";  // two bytes, of which one would fit
  EXPECT_EQ(Hello::decode(hello.encode().get()).host, std::string(1023, 'h'));
  for (const std::uint64_t bad : {std::uint64_t{0}, UINT64_MAX}) {
    expect_refused<Hello>(Changed(hello.encode()).with("next-sequence", bad).get(), "sequence");
  }
}

TEST(Protocol, welcome_crosses_whole) {
  Welcome welcome;
  welcome.instance = Token::random();
  welcome.provider = "tcp";
  welcome.reason = "first";
  welcome.known = true;
  welcome.last_sequence = UINT64_MAX;
  const Welcome back = Welcome::decode(welcome.encode().get());
  EXPECT_EQ(back.instance, welcome.instance);
  EXPECT_EQ(back.provider, "tcp");
  EXPECT_EQ(back.reason, "first");
  EXPECT_TRUE(back.known);
  EXPECT_EQ(back.last_sequence, UINT64_MAX);
  expect_refused<Welcome>(Changed(welcome.encode()).with("version", 2).get(), "version");
  expect_refused<Welcome>(Changed(welcome.encode()).without("instance").get(), "instance");
}

TEST(Protocol, a_refusal_carries_its_code_and_words) {
  const Refuse back = Refuse::decode(Refuse{ErrorCode::no_memory, "ring too large"}.encode().get());
  EXPECT_EQ(back.code, ErrorCode::no_memory);
  EXPECT_EQ(back.text, "ring too large");
  EXPECT_EQ(Refuse::decode(FieldWriter().finish().get()).text, "no reason given");
}

TEST(Protocol, config_crosses_whole) {
  const Config back = Config::decode(a_config().encode().get());
  EXPECT_EQ(back.epoch, 3U);
  EXPECT_EQ(back.capacity, 5000U);
  EXPECT_EQ(back.slots, 8U);
  EXPECT_EQ(back.announce, Announce::every_piece);
  EXPECT_EQ(back.credit.address, 1U);
  EXPECT_EQ(back.credit.length, 8U);
  EXPECT_EQ(back.credit.key, 2U);
}

TEST(Protocol, a_ring_that_cannot_be_is_not_asked_for) {
  const std::pair<const char*, std::uint64_t> bad[] = {
      {"epoch", 0},
      {"epoch", UINT64_MAX},
      {"capacity", 0},
      {"capacity", kMaxCapacity + 1},
      {"capacity", UINT64_MAX},
      {"slots", 0},
      {"slots", 1},
      {"slots", kMaxSlots + 1},
      {"slots", UINT64_MAX},
  };
  for (const auto& [name, value] : bad) {
    expect_refused<Config>(Changed(a_config().encode()).with(name, value).get(), name);
  }
  for (const char* name : {"epoch", "capacity", "slots", "address", "length", "key"}) {
    expect_refused<Config>(Changed(a_config().encode()).without(name).get(), name);
  }
}

TEST(Protocol, ring_crosses_whole) {
  const Ring ring = a_ring();
  const Ring back = Ring::decode(ring.encode().get());
  EXPECT_EQ(back.epoch, ring.epoch);
  EXPECT_EQ(back.capacity, ring.capacity);
  EXPECT_EQ(back.slots, ring.slots);
  EXPECT_EQ(back.memory.address, ring.memory.address);
  EXPECT_EQ(back.memory.length, ring.memory.length);
  EXPECT_EQ(back.memory.key, ring.memory.key);
  EXPECT_EQ(back.address.format, ring.address.format);
  EXPECT_EQ(back.address.bytes, ring.address.bytes);
  EXPECT_EQ(back.token, ring.token);
}

TEST(Protocol, a_ring_shorter_than_its_slots_is_refused) {
  const auto good = a_ring().encode();
  expect_refused<Ring>(Changed(good).with("length", 8 * slot_stride(5000) - 1).get(), "length");
  expect_refused<Ring>(Changed(good).with("length", 0).get(), "length");
  expect_refused<Ring>(Changed(good).with("capacity", kMaxCapacity).get(), "capacity");
  expect_refused<Ring>(Changed(good).with("slots", kMaxSlots).get(), "slots");
  expect_refused<Ring>(Changed(good).with("slots", 0).get(), "no slots");
  expect_refused<Ring>(Changed(good).with_value("token", g_variant_new_string("secret")).get(),
                       "token");
}

TEST(Protocol, events_cross_whole) {
  const std::vector<std::byte> body{std::byte{0}, std::byte{200}};
  const Event back = Event::decode(Event{4, UINT64_MAX - 1, {"caps", true, body}}.encode().get());
  EXPECT_EQ(back.number, 4U);
  EXPECT_EQ(back.after, UINT64_MAX - 1);
  EXPECT_EQ(back.event.name, "caps");
  EXPECT_TRUE(back.event.sticky);
  EXPECT_EQ(back.event.body, body);
  const Upstream up = Upstream::decode(Upstream{{"reconfigure", false, {}}}.encode().get());
  EXPECT_EQ(up.event.name, "reconfigure");
  EXPECT_FALSE(up.event.sticky);
}

TEST(Protocol, an_event_without_name_or_too_long_is_refused) {
  const auto good = Event{1, 0, {"caps", true, {}}}.encode();
  expect_refused<Event>(Changed(good).without("name").get(), "name");
  expect_refused<Event>(Changed(good).with_value("name", g_variant_new_string("")).get(), "name");
  expect_refused<Event>(
      Event{1, 0, {"x", false, std::vector<std::byte>(kMaxEventBody + 1)}}.encode(), "body");
  expect_refused<Upstream>(FieldWriter().finish(), "upstream");
}

TEST(Protocol, status_and_bye_cross_whole) {
  const Status back = Status::decode(Status{1, 2, 3, 4, 5}.encode().get());
  EXPECT_EQ(back.delivered, 1U);
  EXPECT_EQ(back.events_delivered, 2U);
  EXPECT_EQ(back.events_taken, 3U);
  EXPECT_EQ(back.latency_p50, 4U);
  EXPECT_EQ(back.latency_p99, 5U);
  const Bye bye = Bye::decode(Bye{9, "so long"}.encode().get());
  EXPECT_EQ(bye.last_sequence, 9U);
  EXPECT_EQ(bye.text, "so long");
}

TEST(Protocol, mutilated_messages_are_decoded_or_refused_and_nothing_worse) {
  const std::pair<GlibPtr<GVariant>, std::function<void(GVariant*)>> all[] = {
      {a_hello().encode(), [](GVariant* v) { Hello::decode(v); }},
      {Welcome{}.encode(), [](GVariant* v) { Welcome::decode(v); }},
      {Refuse{}.encode(), [](GVariant* v) { Refuse::decode(v); }},
      {a_config().encode(), [](GVariant* v) { Config::decode(v); }},
      {a_ring().encode(), [](GVariant* v) { Ring::decode(v); }},
      {Event{1, 2, {"n", true, {}}}.encode(), [](GVariant* v) { Event::decode(v); }},
      {Upstream{{"n", true, {}}}.encode(), [](GVariant* v) { Upstream::decode(v); }},
      {Status{}.encode(), [](GVariant* v) { Status::decode(v); }},
      {Bye{}.encode(), [](GVariant* v) { Bye::decode(v); }},
  };
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto& [fields, decode] = all[static_cast<std::size_t>(round) % std::size(all)];
    std::vector<std::byte> bytes(g_variant_get_size(fields.get()));
    g_variant_store(fields.get(), bytes.data());
    for (unsigned i = 0; i <= random() % 4; ++i) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    const GlibPtr<GBytes> raw(g_bytes_new(bytes.data(), bytes.size()));
    const GlibPtr<GVariant> variant(
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE_VARDICT, raw.get(), FALSE)));
    const GlibPtr<GVariant> normal(g_variant_get_normal_form(variant.get()));
    try {
      decode(normal.get());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::protocol);
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Protocol, the_process_has_one_identity) {
  EXPECT_EQ(process_instance(), process_instance());
  EXPECT_TRUE(process_instance().matches(process_instance()));
}

}  // namespace
}  // namespace grainfabric::protocol
