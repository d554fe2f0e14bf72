// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "transport/options.hpp"
#include "transport/table.hpp"

/// Options of transports: where they come from, and that a wrong one is named.
namespace grainfabric::transport {
namespace {

/// A configuration file for this process, as long as it lives.
class Configuration {
 public:
  explicit Configuration(const std::string& text)
      : path_(std::filesystem::path(testing::TempDir()) /
              ("transport-" + std::to_string(::getpid()) + ".conf")) {
    std::ofstream(path_) << text;
    ::setenv("GRAINFABRIC_CONFIG", path_.c_str(), 1);
  }
  ~Configuration() {
    ::unsetenv("GRAINFABRIC_CONFIG");
    std::filesystem::remove(path_);
  }
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;

  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was wrong with it";
  return {ErrorCode::io, ""};
}

TEST(Options, come_from_the_group_of_the_provider) {
  const Configuration file(
      "[verbs]\nmax-wr=512\n\n[tcp;ofi_rxm]\nother = a b\n[ofi:verbs]\nmax-wr=3\n");
  EXPECT_EQ(configured_options("verbs", {}), (Options{{"max-wr", "512"}}));
  EXPECT_EQ(configured_options("tcp;ofi_rxm", {}), (Options{{"other", "a b"}}));
  EXPECT_TRUE(configured_options("tcp", {}).empty());
}

TEST(Options, of_the_application_come_before_those_of_the_file) {
  const Configuration file("[verbs]\nmax-wr=512\nmtu=1024\n");
  EXPECT_EQ(configured_options("verbs", {{"max-wr", "16"}, {"port", "2"}}),
            (Options{{"max-wr", "16"}, {"mtu", "1024"}, {"port", "2"}}));
}

TEST(Options, a_file_that_is_none_is_an_error_with_its_name) {
  {
    const Configuration file("max-wr=512\n");
    const Error error = error_of([] { configured_options("verbs", {}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(error.failure().find(file.path()), std::string::npos) << error.what();
  }
  ::setenv("GRAINFABRIC_CONFIG", "/nonexistent/transport.conf", 1);
  const Error error = error_of([] { configured_options("verbs", {}); });
  EXPECT_NE(error.failure().find("/nonexistent/transport.conf"), std::string::npos);
  ::unsetenv("GRAINFABRIC_CONFIG");
}

TEST(Options, are_taken_one_by_one) {
  OptionReader reader("verbs", {{"device", "rxe0"}, {"max-wr", "16"}});
  EXPECT_EQ(reader.text("device"), "rxe0");
  EXPECT_EQ(reader.text("other", "fallback"), "fallback");
  EXPECT_EQ(reader.number("max-wr", 8, 100), 16);
  EXPECT_FALSE(reader.number("port", 1, 255));
  EXPECT_NO_THROW(reader.finish());
}

TEST(Options, an_unknown_one_is_an_error_that_names_the_known) {
  OptionReader reader("verbs", {{"max-rw", "16"}});
  static_cast<void>(reader.number("max-wr", 8, 100));
  static_cast<void>(reader.text("device"));
  const Error error = error_of([&] { reader.finish(); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.failure().find("\"max-rw\""), std::string::npos) << error.what();
  EXPECT_NE(error.remedy().find("max-wr, device"), std::string::npos) << error.what();
}

TEST(Options, what_is_no_number_in_range_is_an_error_with_the_range) {
  for (const char* text : {"", " 16", "16 ", "0x10", "1e2", "16k", "-1", "7", "101",
                           "99999999999999999999", "sixteen"}) {
    OptionReader reader("verbs", {{"max-wr", text}});
    const Error error = error_of([&] { static_cast<void>(reader.number("max-wr", 8, 100)); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << text;
    EXPECT_NE(error.failure().find(std::string("max-wr=") + text), std::string::npos);
    EXPECT_NE(error.failure().find("from 8 to 100"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace grainfabric::transport
