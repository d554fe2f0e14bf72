// SPDX-License-Identifier: Apache-2.0
// Exit codes and words for what the command line gets wrong, and its parts on their own.
#include <gtest/gtest.h>

#include "program.hpp"
#include "tool/bench/pattern.hpp"
#include "tool/command.hpp"
#include "tool/text.hpp"

namespace grainfabric::test {
namespace {

using namespace tool;

TEST(ToolUsage, a_wrong_command_line_ends_with_2_and_says_why) {
  const std::pair<Arguments, const char*> wrong[] = {
      {{}, "No command"},
      {{"fly"}, "\"fly\""},
      {{"info", "more"}, "options only"},
      {{"bench"}, "role"},
      {{"bench", "server", "more"}, "options only"},
      {{"bench", "server", "--port", "70000"}, "65535"},
      {{"bench", "client"}, "HOST"},
      {{"bench", "client", "a", "b"}, "HOST"},
      {{"bench", "client", "a", "--fly"}, "--fly"},
      {{"bench", "client", "a", "--operation", "fly"}, "write, read or send"},
      {{"bench", "client", "a", "--sizes", "0"}, "no size"},
      {{"bench", "client", "a", "--sizes", "4k,,8k"}, "no size"},
      {{"bench", "client", "a", "--seconds", "-1"}, "above 0"},
      {{"bench", "client", "a", "--depth", "0"}, "1024"},
      {{"bench", "client", "a", "--polling", "never"}, "event, adaptive or busy"},
      {{"bench", "server", "--polling", ""}, "event, adaptive or busy"},
  };
  for (const auto& [arguments, word] : wrong) {
    Program program(arguments);
    EXPECT_EQ(program.wait(), 2) << word;
    EXPECT_NE(program.err.find(word), std::string::npos) << program.err;
    EXPECT_EQ(program.out, "");
  }
}

TEST(ToolUsage, help_and_version_are_good) {
  for (const Arguments& arguments :
       {Arguments{"--help"}, Arguments{"info", "--help"}, Arguments{"bench", "--help"},
        Arguments{"bench", "server", "--help"}, Arguments{"bench", "client", "--help"},
        Arguments{"--version"}}) {
    Program program(arguments);
    EXPECT_EQ(program.wait(), 0) << program.err;
    EXPECT_NE(program.out.find("grainfabric"), std::string::npos);
  }
}

TEST(ToolText, sizes_are_read_and_written) {
  EXPECT_EQ(parse_sizes("1,4k,1M,2g,5529600"),
            (std::vector<std::uint64_t>{1, 4096, 1U << 20, 2U << 30, 5529600}));
  EXPECT_EQ(size_text(1), "1 B");
  EXPECT_EQ(size_text(4096), "4 KiB");
  EXPECT_EQ(size_text(5529600), "5529600 B");
  EXPECT_EQ(size_text(4ULL << 30), "4 GiB");
  for (const char* wrong : {"", "k", "4kk", "-1", "5g", "99999999999999999999"}) {
    EXPECT_THROW(parse_size(wrong), UsageError) << wrong;
  }
}

TEST(ToolPattern, finds_every_changed_byte_and_every_other_message) {
  for (const std::size_t size : {1U, 7U, 8U, 9U, 1000U}) {
    std::vector<std::byte> bytes(size);
    const Pattern pattern(1, 2);
    EXPECT_FALSE(pattern.matches(bytes));
    pattern.fill(bytes);
    EXPECT_TRUE(pattern.matches(bytes));
    EXPECT_FALSE(Pattern(1, 3).matches(bytes));
    EXPECT_FALSE(Pattern(2, 2).matches(bytes));
    for (std::byte& byte : bytes) {
      byte ^= std::byte{1};
      EXPECT_FALSE(pattern.matches(bytes));
      byte ^= std::byte{1};
    }
  }
}

}  // namespace
}  // namespace grainfabric::test
