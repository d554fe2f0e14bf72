// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "message/fields.hpp"
#include "message/frame.hpp"

namespace grainfabric {
namespace {

std::span<const std::byte, kFrameHeaderSize> as_header(
    const std::array<std::byte, kFrameHeaderSize>& bytes) {
  return bytes;
}

TEST(Frame, a_header_is_the_magic_the_type_and_the_length_little_endian) {
  const auto bytes = encode_frame_header({0x0201, 0x06050403});
  const unsigned expected[] = {'G', 'F', 'C', '1', 1, 2, 0, 0, 3, 4, 5, 6};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(std::to_integer<unsigned>(bytes[i]), expected[i]) << i;
  }
  const auto back = decode_frame_header(as_header(bytes));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->type, 0x0201);
  EXPECT_EQ(back->length, 0x06050403U);
}

TEST(Frame, reserved_bytes_of_a_later_version_do_not_matter) {
  auto bytes = encode_frame_header({7, 8});
  bytes[6] = bytes[7] = std::byte{0xFF};
  ASSERT_TRUE(decode_frame_header(as_header(bytes)));
  EXPECT_EQ(decode_frame_header(as_header(bytes))->type, 7);
}

TEST(Frame, one_wrong_byte_of_the_magic_is_another_protocol) {
  for (std::size_t i = 0; i < 4; ++i) {
    auto bytes = encode_frame_header({1, 0});
    bytes[i] ^= std::byte{1};
    EXPECT_FALSE(decode_frame_header(as_header(bytes))) << i;
  }
}

/// Every kind of field, written and read.
TEST(Fields, what_is_written_is_read) {
  const Token token = Token::random();
  const std::vector<std::byte> body{std::byte{0}, std::byte{255}};
  const auto fields = FieldWriter()
                          .add("number", std::uint64_t{UINT64_MAX})
                          .add("text", std::string("ünïcode"))
                          .add("list", std::vector<std::string>{"a", "", "c"})
                          .add("bytes", std::span(body))
                          .add("nothing", std::span<const std::byte>())
                          .add("token", token)
                          .finish();
  const FieldReader reader(fields.get(), "TEST");
  EXPECT_EQ(reader.number("number"), UINT64_MAX);
  EXPECT_EQ(reader.text("text"), "ünïcode");
  EXPECT_EQ(reader.texts("list"), (std::vector<std::string>{"a", "", "c"}));
  EXPECT_EQ(reader.bytes("bytes"), body);
  EXPECT_TRUE(reader.bytes("nothing").empty());
  EXPECT_EQ(reader.token("token"), token);
}

TEST(Fields, text_that_is_not_utf8_does_not_spoil_the_message) {
  const auto fields = FieldWriter().add("host", std::string("caf\xe9")).finish();
  EXPECT_TRUE(g_variant_is_normal_form(fields.get()));
  EXPECT_EQ(FieldReader(fields.get(), "TEST").text("host").substr(0, 3), "caf");
  const auto list =
      FieldWriter().add("offers", std::vector<std::string>{"caf\xe9", "tcp"}).finish();
  EXPECT_TRUE(g_variant_is_normal_form(list.get()));
  EXPECT_EQ(FieldReader(list.get(), "TEST").texts("offers").back(), "tcp");
}

TEST(Fields, a_required_field_that_is_absent_is_an_error_that_names_it) {
  const auto fields = FieldWriter().finish();
  const FieldReader reader(fields.get(), "GREETING");
  try {
    static_cast<void>(reader.number("epoch"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::protocol);
    EXPECT_NE(error.failure().find("GREETING"), std::string::npos);
    EXPECT_NE(error.failure().find("\"epoch\""), std::string::npos);
  }
  EXPECT_THROW(static_cast<void>(reader.token("token")), Error);
  EXPECT_EQ(reader.number("epoch", 5), 5U);
  EXPECT_EQ(reader.text("text", "otherwise"), "otherwise");
  EXPECT_TRUE(reader.texts("list").empty());
  EXPECT_TRUE(reader.bytes("bytes").empty());
}

TEST(Fields, a_field_of_another_type_counts_as_absent) {
  GVariantBuilder builder;
  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&builder, "{sv}", "number", g_variant_new_int64(-1));
  g_variant_builder_add(&builder, "{sv}", "text", g_variant_new_uint64(1));
  g_variant_builder_add(&builder, "{sv}", "list", g_variant_new_string("a"));
  g_variant_builder_add(&builder, "{sv}", "bytes", g_variant_new_string("a"));
  g_variant_builder_add(&builder, "{sv}", "token", g_variant_new_bytestring("fifteen"));
  const GlibPtr<GVariant> fields(g_variant_ref_sink(g_variant_builder_end(&builder)));
  const FieldReader reader(fields.get(), "TEST");
  EXPECT_THROW(static_cast<void>(reader.number("number")), Error);
  EXPECT_EQ(reader.number("number", 3), 3U);
  EXPECT_EQ(reader.text("text", "none"), "none");
  EXPECT_TRUE(reader.texts("list").empty());
  EXPECT_TRUE(reader.bytes("bytes").empty());
  EXPECT_THROW(static_cast<void>(reader.token("token")), Error);
}

TEST(Fields, the_last_of_two_fields_of_one_name_does_not_confuse) {
  const auto fields = FieldWriter().add("n", std::uint64_t{1}).add("n", std::uint64_t{2}).finish();
  const std::uint64_t value = FieldReader(fields.get(), "TEST").number("n");
  EXPECT_TRUE(value == 1 || value == 2);
}

TEST(Fields, bounds_are_kept_at_both_ends) {
  const auto fields = FieldWriter().add("n", std::uint64_t{10}).finish();
  const FieldReader reader(fields.get(), "TEST");
  EXPECT_EQ(reader.number_within("n", 10, 10), 10U);
  EXPECT_THROW(static_cast<void>(reader.number_within("n", 11, 20)), Error);
  EXPECT_THROW(static_cast<void>(reader.number_within("n", 0, 9)), Error);
}

TEST(Fields, a_writer_may_be_used_again_or_left_half_way) {
  FieldWriter writer;
  writer.add("a", std::uint64_t{1});
  EXPECT_EQ(FieldReader(writer.finish().get(), "TEST").number("a"), 1U);
  const auto second = writer.add("b", std::uint64_t{2}).finish();
  EXPECT_THROW(static_cast<void>(FieldReader(second.get(), "TEST").number("a")), Error);
  FieldWriter abandoned;
  abandoned.add("text", std::string("freed with the writer"));
}

}  // namespace
}  // namespace grainfabric
