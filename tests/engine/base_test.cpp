// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/histogram.hpp"
#include "base/log.hpp"
#include "base/token.hpp"

namespace grainfabric {
namespace {

TEST(Error, every_code_has_a_name_of_its_own_that_leads_back_to_it) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(ErrorCode::io); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_EQ(error_code_from_string(to_string(code)), code) << to_string(code);
    EXPECT_TRUE(names.insert(to_string(code)).second) << to_string(code);
  }
  EXPECT_STREQ(to_string(ErrorCode::address_in_use), "address-in-use");
}

TEST(Error, a_name_of_a_later_version_is_a_protocol_error) {
  EXPECT_EQ(error_code_from_string("quantum-decoherence"), ErrorCode::protocol);
  EXPECT_EQ(error_code_from_string(""), ErrorCode::protocol);
}

TEST(Error, the_text_says_what_failed_and_what_to_try) {
  const Error error(ErrorCode::busy, "The target is taken", "Use another port.");
  EXPECT_STREQ(error.what(), "The target is taken. Use another port.");
  EXPECT_EQ(error.failure(), "The target is taken");
  EXPECT_EQ(error.remedy(), "Use another port.");
  EXPECT_STREQ(Error(ErrorCode::busy, "Taken").what(), "Taken");
}

TEST(Error, errno_decides_the_code_and_is_spelled_out) {
  const std::pair<int, ErrorCode> expected[] = {
      {EADDRINUSE, ErrorCode::address_in_use},
      {EADDRNOTAVAIL, ErrorCode::unknown_interface},
      {ECONNREFUSED, ErrorCode::unreachable},
      {EHOSTUNREACH, ErrorCode::unreachable},
      {ETIMEDOUT, ErrorCode::timed_out},
      {ENOMEM, ErrorCode::no_memory},
      {ENOSPC, ErrorCode::no_memory},
      {EACCES, ErrorCode::permission},
      {EPERM, ErrorCode::permission},
      {ECONNRESET, ErrorCode::disconnected},
      {EPIPE, ErrorCode::disconnected},
      {EINVAL, ErrorCode::invalid_argument},
      {ENOSYS, ErrorCode::unsupported},
      {EOPNOTSUPP, ErrorCode::unsupported},
      {EXDEV, ErrorCode::io},
  };
  for (const auto& [number, code] : expected) {
    EXPECT_EQ(Error::from_errno(number, "x").code(), code) << number;
  }
  EXPECT_EQ(Error::from_errno(ENOMEM, "No ring").failure(), "No ring: Cannot allocate memory");
}

TEST(Token, random_ones_differ_and_match_only_themselves) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const Token token = Token::random();
    EXPECT_TRUE(seen.insert(token.hex()).second);
    EXPECT_TRUE(token.matches(token));
  }
}

TEST(Token, one_wrong_bit_anywhere_does_not_match) {
  const Token token = Token::random();
  for (std::size_t bit = 0; bit < 128; ++bit) {
    Token other = token;
    other.bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(token.matches(other)) << bit;
  }
}

TEST(Token, zeros_match_nothing_not_even_zeros) {
  EXPECT_FALSE(Token{}.matches(Token{}));
  EXPECT_FALSE(Token::random().matches(Token{}));
}

TEST(Token, only_sixteen_bytes_make_one) {
  std::vector<std::byte> raw(17, std::byte{7});
  EXPECT_EQ(Token::from_bytes(raw), Token{});
  EXPECT_EQ(Token::from_bytes(std::span(raw).first(15)), Token{});
  EXPECT_EQ(Token::from_bytes(std::span(raw).first(16)).hex(), "07070707070707070707070707070707");
}

TEST(Token, random_numbers_are_never_zero_and_do_not_repeat) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(random_u64()).second);
  EXPECT_EQ(seen.count(0), 0U);
}

TEST(Histogram, an_empty_one_says_zero) {
  EXPECT_EQ(Histogram().quantile(0.5), 0U);
  EXPECT_EQ(Histogram().quantile(1.0), 0U);
}

TEST(Histogram, every_quantile_is_right_within_three_point_two_percent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> durations(12, 3);
  Histogram histogram;
  std::vector<std::uint64_t> exact;
  for (int i = 0; i < 20'000; ++i) {
    exact.push_back(static_cast<std::uint64_t>(durations(random)));
    histogram.record(exact.back());
  }
  std::sort(exact.begin(), exact.end());
  for (const double share : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto truth = static_cast<double>(
        exact[static_cast<std::size_t>(share * static_cast<double>(exact.size() - 1))]);
    const auto said = static_cast<double>(histogram.quantile(share));
    EXPECT_GE(said, truth) << share;
    EXPECT_LE(said, truth * 1.032 + 1) << share;
  }
}

TEST(Histogram, the_smallest_and_the_largest_durations_have_their_place) {
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{31}, std::uint64_t{32}, std::uint64_t{63},
        std::uint64_t{64}, std::uint64_t{1} << 63U, UINT64_MAX - 1, UINT64_MAX}) {
    Histogram histogram;
    histogram.record(value);
    EXPECT_EQ(histogram.total(), 1U);
    EXPECT_GE(histogram.quantile(1.0), value);
    EXPECT_LE(static_cast<double>(histogram.quantile(1.0)), static_cast<double>(value) * 1.032 + 1);
    histogram.clear();
    EXPECT_EQ(histogram.quantile(1.0), 0U);
  }
}

TEST(Log, lines_go_to_the_hook_while_there_is_one) {
  std::vector<std::string> lines;
  set_log_hook([&](LogLevel level, const char* category, const std::string& line) {
    lines.push_back(std::to_string(static_cast<int>(level)) + category + line);
  });
  log(LogLevel::warning, "here", "something");
  set_log_hook({});
  log(LogLevel::debug, "here", "nobody listens");
  EXPECT_EQ(lines, std::vector<std::string>{"1heresomething"});
}

}  // namespace
}  // namespace grainfabric
