// SPDX-License-Identifier: Apache-2.0
#include "message/fields.hpp"

#include "base/error.hpp"

namespace grainfabric {
namespace {

/// What is not UTF-8 (an odd host name) must not make the whole message abnormal.
GlibPtr<char> valid_text(const std::string& text) {
  return GlibPtr<char>(g_utf8_make_valid(text.c_str(), -1));
}

}  // namespace

FieldWriter::FieldWriter() {
  g_variant_builder_init(&builder_, G_VARIANT_TYPE_VARDICT);
}
FieldWriter::~FieldWriter() {
  g_variant_builder_clear(&builder_);
}

FieldWriter& FieldWriter::add(const char* name, std::uint64_t value) {
  g_variant_builder_add(&builder_, "{sv}", name, g_variant_new_uint64(value));
  return *this;
}

FieldWriter& FieldWriter::add(const char* name, const std::string& value) {
  const GlibPtr<char> valid = valid_text(value);
  g_variant_builder_add(&builder_, "{sv}", name, g_variant_new_string(valid.get()));
  return *this;
}

FieldWriter& FieldWriter::add(const char* name, const std::vector<std::string>& value) {
  std::vector<GlibPtr<char>> valid;
  std::vector<const char*> pointers;
  for (const std::string& text : value) {
    pointers.push_back(valid.emplace_back(valid_text(text)).get());
  }
  g_variant_builder_add(&builder_, "{sv}", name,
                        g_variant_new_strv(pointers.data(), static_cast<gssize>(pointers.size())));
  return *this;
}

FieldWriter& FieldWriter::add(const char* name, std::span<const std::byte> value) {
  g_variant_builder_add(
      &builder_, "{sv}", name,
      g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, value.data(), value.size(), 1));
  return *this;
}

FieldWriter& FieldWriter::add(const char* name, const Token& value) {
  return add(name, std::span<const std::byte>(value.bytes));
}

GlibPtr<GVariant> FieldWriter::finish() {
  GlibPtr<GVariant> fields(g_variant_ref_sink(g_variant_builder_end(&builder_)));
  g_variant_builder_init(&builder_, G_VARIANT_TYPE_VARDICT);
  return fields;
}

FieldReader::FieldReader(GVariant* fields, const char* message) : message_(message) {
  g_variant_dict_init(&dict_, fields);
}
FieldReader::~FieldReader() {
  g_variant_dict_clear(&dict_);
}

void FieldReader::malformed(const char* name, const char* why) const {
  throw Error(ErrorCode::protocol, std::string("The peer's ") + message_ + " message " + why +
                                       " field \"" + name + "\"");
}

namespace {

GlibPtr<GVariant> look_up(const GVariantDict& dict, const char* name, const GVariantType* type) {
  // GVariantDict's look-ups do not change it, whatever its signature says.
  return GlibPtr<GVariant>(
      g_variant_dict_lookup_value(const_cast<GVariantDict*>(&dict), name, type));
}

}  // namespace

std::uint64_t FieldReader::number(const char* name) const {
  const auto value = look_up(dict_, name, G_VARIANT_TYPE_UINT64);
  if (!value) malformed(name, "lacks the");
  return g_variant_get_uint64(value.get());
}

std::uint64_t FieldReader::number(const char* name, std::uint64_t otherwise) const {
  const auto value = look_up(dict_, name, G_VARIANT_TYPE_UINT64);
  return value ? g_variant_get_uint64(value.get()) : otherwise;
}

std::uint64_t FieldReader::number_within(const char* name, std::uint64_t least,
                                         std::uint64_t most) const {
  const std::uint64_t value = number(name);
  if (value < least || value > most) malformed(name, "has an impossible value in");
  return value;
}

std::string FieldReader::text(const char* name, const std::string& otherwise) const {
  const auto value = look_up(dict_, name, G_VARIANT_TYPE_STRING);
  return value ? g_variant_get_string(value.get(), nullptr) : otherwise;
}

std::vector<std::string> FieldReader::texts(const char* name) const {
  std::vector<std::string> list;
  if (const auto value = look_up(dict_, name, G_VARIANT_TYPE_STRING_ARRAY)) {
    gsize count = 0;
    const std::unique_ptr<const char*[], decltype(&g_free)> strings(
        g_variant_get_strv(value.get(), &count), &g_free);
    for (gsize i = 0; i < count; ++i) list.emplace_back(strings[i]);
  }
  return list;
}

std::vector<std::byte> FieldReader::bytes(const char* name) const {
  std::vector<std::byte> result;
  if (const auto value = look_up(dict_, name, G_VARIANT_TYPE_BYTESTRING)) {
    gsize size = 0;
    const auto* data =
        static_cast<const std::byte*>(g_variant_get_fixed_array(value.get(), &size, 1));
    result.assign(data, data + size);
  }
  return result;
}

Token FieldReader::token(const char* name) const {
  const std::vector<std::byte> raw = bytes(name);
  if (raw.size() != Token{}.bytes.size()) malformed(name, "lacks the 16-byte");
  return Token::from_bytes(raw);
}

}  // namespace grainfabric
