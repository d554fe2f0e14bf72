// SPDX-License-Identifier: Apache-2.0
#include "session/protocol.hpp"

#include "message/fields.hpp"
#include "session/grain.hpp"

namespace grainfabric::protocol {
namespace {

constexpr std::size_t kMaxText = 1024;
constexpr std::size_t kMaxOffers = 64;

/// At most kMaxText bytes of it, in whole characters.
std::string bounded(std::string text) {
  if (text.size() <= kMaxText) return text;
  const char* end = nullptr;
  static_cast<void>(g_utf8_validate(text.data(), kMaxText, &end));
  text.resize(static_cast<std::size_t>(end - text.data()));
  return text;
}

void add_memory(FieldWriter& fields, const transport::RemoteMemory& memory) {
  fields.add("address", memory.address).add("length", memory.length).add("key", memory.key);
}

transport::RemoteMemory read_memory(const FieldReader& fields) {
  return {fields.number("address"), fields.number("length"), fields.number("key")};
}

void add_event(FieldWriter& fields, const StreamEvent& event) {
  fields.add("name", event.name)
      .add("sticky", std::uint64_t{event.sticky})
      .add("body", std::span<const std::byte>(event.body));
}

StreamEvent read_event(const FieldReader& fields, const char* message) {
  StreamEvent event{bounded(fields.text("name")), fields.number("sticky", 0) != 0,
                    fields.bytes("body")};
  if (event.name.empty() || event.body.size() > kMaxEventBody) {
    throw Error(ErrorCode::protocol,
                std::string("The peer's ") + message + " message is malformed");
  }
  return event;
}

}  // namespace

GlibPtr<GVariant> Hello::encode() const {
  return FieldWriter()
      .add("version", version)
      .add("stream", stream)
      .add("instance", instance)
      .add("host", host)
      .add("software", software)
      .add("offers", offers)
      .add("passed-over", passed_over)
      .add("next-sequence", next_sequence)
      .add("host-hint", host_hint)
      .finish();
}

Hello Hello::decode(GVariant* fields) {
  const FieldReader reader(fields, "HELLO");
  Hello hello;
  hello.version = reader.number("version");
  if (hello.version != kVersion) return hello;  // nothing more is known of its fields
  hello.stream = reader.token("stream");
  hello.instance = reader.token("instance");
  hello.host = bounded(reader.text("host"));
  hello.software = bounded(reader.text("software"));
  hello.offers = reader.texts("offers");
  if (hello.offers.size() > kMaxOffers) hello.offers.resize(kMaxOffers);
  hello.passed_over = bounded(reader.text("passed-over", ""));
  hello.next_sequence = reader.number_within("next-sequence", 1, UINT64_MAX - 1);
  hello.host_hint = bounded(reader.text("host-hint", ""));
  return hello;
}

GlibPtr<GVariant> Welcome::encode() const {
  return FieldWriter()
      .add("version", version)
      .add("instance", instance)
      .add("provider", provider)
      .add("reason", reason)
      .add("known", std::uint64_t{known})
      .add("last-sequence", last_sequence)
      .finish();
}

Welcome Welcome::decode(GVariant* fields) {
  const FieldReader reader(fields, "WELCOME");
  Welcome welcome;
  welcome.version = reader.number_within("version", kVersion, kVersion);
  welcome.instance = reader.token("instance");
  welcome.provider = bounded(reader.text("provider"));
  welcome.reason = bounded(reader.text("reason"));
  welcome.known = reader.number("known", 0) != 0;
  welcome.last_sequence = reader.number("last-sequence", 0);
  return welcome;
}

GlibPtr<GVariant> Refuse::encode() const {
  return FieldWriter()
      .add("code", std::string(to_string(code)))
      .add("text", text)
      .add("provider", provider)
      .finish();
}

Refuse Refuse::decode(GVariant* fields) {
  const FieldReader reader(fields, "REFUSE");
  return {error_code_from_string(reader.text("code")),
          bounded(reader.text("text", "no reason given")), bounded(reader.text("provider", ""))};
}

GlibPtr<GVariant> Config::encode() const {
  FieldWriter fields;
  fields.add("epoch", epoch)
      .add("capacity", capacity)
      .add("slots", slots)
      .add("every-piece", std::uint64_t{announce == Announce::every_piece});
  add_memory(fields, credit);
  return fields.finish();
}

Config Config::decode(GVariant* fields) {
  const FieldReader reader(fields, "CONFIG");
  Config config;
  config.epoch = reader.number_within("epoch", 1, UINT32_MAX);
  config.capacity = reader.number_within("capacity", 1, kMaxCapacity);
  config.slots = reader.number_within("slots", kMinSlots, kMaxSlots);
  config.announce =
      reader.number("every-piece", 0) != 0 ? Announce::every_piece : Announce::last_piece;
  config.credit = read_memory(reader);
  return config;
}

GlibPtr<GVariant> Ring::encode() const {
  FieldWriter fields;
  fields.add("epoch", epoch)
      .add("capacity", capacity)
      .add("slots", slots)
      .add("endpoint-format", address.format)
      .add("endpoint", std::span<const std::byte>(address.bytes))
      .add("token", token);
  add_memory(fields, memory);
  return fields.finish();
}

Ring Ring::decode(GVariant* fields) {
  const FieldReader reader(fields, "RING");
  Ring ring;
  ring.epoch = reader.number_within("epoch", 1, UINT32_MAX);
  ring.capacity = reader.number_within("capacity", 1, kMaxCapacity);
  ring.slots = reader.number_within("slots", kMinSlots, kMaxSlots);
  ring.memory = read_memory(reader);
  ring.address = {reader.text("endpoint-format"), reader.bytes("endpoint")};
  ring.token = reader.token("token");
  if (ring.memory.length / ring.slots < slot_stride(ring.capacity)) {
    throw Error(ErrorCode::protocol, "The peer's RING is shorter than its slots");
  }
  return ring;
}

GlibPtr<GVariant> Event::encode() const {
  FieldWriter fields;
  fields.add("number", number).add("after", after);
  add_event(fields, event);
  return fields.finish();
}

Event Event::decode(GVariant* fields) {
  const FieldReader reader(fields, "EVENT");
  return {reader.number("number"), reader.number("after"), read_event(reader, "EVENT")};
}

GlibPtr<GVariant> Upstream::encode() const {
  FieldWriter fields;
  add_event(fields, event);
  return fields.finish();
}

Upstream Upstream::decode(GVariant* fields) {
  return {read_event(FieldReader(fields, "UPSTREAM"), "UPSTREAM")};
}

GlibPtr<GVariant> Status::encode() const {
  return FieldWriter()
      .add("delivered", delivered)
      .add("events-delivered", events_delivered)
      .add("events-taken", events_taken)
      .add("latency-p50", latency_p50)
      .add("latency-p99", latency_p99)
      .finish();
}

Status Status::decode(GVariant* fields) {
  const FieldReader reader(fields, "STATUS");
  return {reader.number("delivered"), reader.number("events-delivered"),
          reader.number("events-taken"), reader.number("latency-p50", 0),
          reader.number("latency-p99", 0)};
}

GlibPtr<GVariant> Bye::encode() const {
  return FieldWriter().add("last-sequence", last_sequence).add("text", text).finish();
}

Bye Bye::decode(GVariant* fields) {
  const FieldReader reader(fields, "BYE");
  return {reader.number("last-sequence", 0), bounded(reader.text("text"))};
}

GlibPtr<GVariant> encode_heartbeat() {
  return FieldWriter().finish();
}

const Token& process_instance() {
  static const Token instance = Token::random();
  return instance;
}

}  // namespace grainfabric::protocol
