// SPDX-License-Identifier: Apache-2.0
#include "tool/bench/messages.hpp"

#include "message/fields.hpp"
#include "tool/bench/limits.hpp"

namespace grainfabric::tool {
namespace {

constexpr const char* kOperations[] = {"write", "read", "send"};

void add_memory(FieldWriter& fields, const transport::RemoteMemory& memory) {
  fields.add("address", memory.address).add("length", memory.length).add("key", memory.key);
}

transport::RemoteMemory read_memory(const FieldReader& fields) {
  return {fields.number("address"), fields.number("length"), fields.number("key")};
}

}  // namespace

const char* to_string(Operation operation) noexcept {
  return kOperations[static_cast<std::size_t>(operation)];
}

Operation operation_from_string(const std::string& name) {
  for (std::size_t i = 0; i < std::size(kOperations); ++i) {
    if (name == kOperations[i]) return static_cast<Operation>(i);
  }
  throw Error(ErrorCode::invalid_argument, "There is no operation \"" + name + "\"",
              "Those that there are: write, read, send.");
}

GlibPtr<GVariant> Hello::encode() const {
  return FieldWriter()
      .add("version", version)
      .add("software", software)
      .add("offers", offers)
      .add("host-hint", host_hint)
      .finish();
}

Hello Hello::decode(GVariant* fields) {
  const FieldReader reader(fields, "HELLO");
  Hello hello;
  hello.version = reader.number("version");
  if (hello.version != kBenchVersion) {
    throw Error(ErrorCode::version,
                "The client speaks version " + std::to_string(hello.version) +
                    " of the benchmark, this server version " + std::to_string(kBenchVersion),
                "Use the same grainfabric on both sides.");
  }
  hello.software = reader.text("software");
  hello.offers = reader.texts("offers");
  hello.host_hint = reader.text("host-hint", "");
  return hello;
}

GlibPtr<GVariant> Welcome::encode() const {
  return FieldWriter()
      .add("software", software)
      .add("host", host)
      .add("provider", provider)
      .add("reason", reason)
      .finish();
}

Welcome Welcome::decode(GVariant* fields) {
  const FieldReader reader(fields, "WELCOME");
  return {reader.text("software"), reader.text("host"), reader.text("provider"),
          reader.text("reason")};
}

GlibPtr<GVariant> Round::encode() const {
  FieldWriter fields;
  fields.add("operation", std::string(to_string(operation)))
      .add("size", size)
      .add("depth", depth)
      .add("pieces", pieces)
      .add("verify", std::uint64_t{verify})
      .add("seed", seed);
  add_memory(fields, acknowledgement);
  return fields.finish();
}

Round Round::decode(GVariant* fields) {
  const FieldReader reader(fields, "ROUND");
  return {operation_from_string(reader.text("operation")),
          reader.number_within("size", 1, kMaxSize),
          reader.number_within("depth", 1, kMaxDepth),
          reader.number_within("pieces", 1, UINT16_MAX),
          reader.number("verify", 0) != 0,
          reader.number("seed", 0),
          read_memory(reader)};
}

GlibPtr<GVariant> Ready::encode() const {
  FieldWriter fields;
  fields.add("endpoint-format", address.format)
      .add("endpoint", std::span<const std::byte>(address.bytes))
      .add("token", token);
  add_memory(fields, memory);
  return fields.finish();
}

Ready Ready::decode(GVariant* fields) {
  const FieldReader reader(fields, "READY");
  return {read_memory(reader),
          {reader.text("endpoint-format"), reader.bytes("endpoint")},
          reader.token("token")};
}

GlibPtr<GVariant> Result::encode() const {
  return FieldWriter()
      .add("messages", messages)
      .add("verified", verified)
      .add("cpu-nanoseconds", cpu_nanoseconds)
      .finish();
}

Result Result::decode(GVariant* fields) {
  const FieldReader reader(fields, "RESULT");
  return {reader.number("messages"), reader.number("verified"), reader.number("cpu-nanoseconds")};
}

}  // namespace grainfabric::tool
