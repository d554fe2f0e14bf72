// SPDX-License-Identifier: Apache-2.0
// What `grainfabric info` says, against what the kernel and the table of transports say.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>

#include "program.hpp"
#include "transport/table.hpp"

namespace grainfabric::test {
namespace {

JsonValue info() {
  Program program({"info", "--json"});
  EXPECT_EQ(program.wait(), 0) << program.err;
  return JsonValue(program.out);
}

template <typename List, typename Holds>
bool any_of(const List& list, Holds holds) {
  return std::any_of(list.begin(), list.end(), holds);
}

TEST(ToolInfo, knows_the_host) {
  const JsonValue json = info();
  utsname names{};
  ASSERT_EQ(::uname(&names), 0);
  EXPECT_EQ(json["host"].text(), names.nodename);
  EXPECT_EQ(json["kernel"].text(), std::string(names.sysname) + " " + names.release);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (limit.rlim_cur == RLIM_INFINITY) {
    EXPECT_TRUE(json["locked-memory-limit"].is_null());
  } else {
    EXPECT_EQ(json["locked-memory-limit"].number(), static_cast<double>(limit.rlim_cur));
  }
  EXPECT_TRUE(any_of(json["interfaces"].elements(), [](const JsonValue& interface) {
    return interface["name"].text() == "lo" && interface["mtu"].number() > 0 &&
           any_of(interface["addresses"].elements(),
                  [](const JsonValue& address) { return address.text() == "127.0.0.1"; });
  }));
}

TEST(ToolInfo, lists_every_provider_of_the_table_with_its_devices) {
  const JsonValue json = info();
  std::vector<std::string> listed;
  for (const JsonValue& transport : json["transports"].elements()) {
    for (const JsonValue& provider : transport["providers"].elements()) {
      listed.push_back(provider["name"].text());
      EXPECT_FALSE(provider["devices"].elements().empty());
    }
  }
  EXPECT_EQ(listed, transport::Table::shared().providers());
  EXPECT_EQ(json["missing"].elements().size(), transport::Table::shared().missing().size());
}

TEST(ToolInfo, says_of_each_usable_device_what_its_domain_says) {
  const JsonValue json = info();
  bool has_loopback = false;
  for (const JsonValue& transport : json["transports"].elements()) {
    for (const JsonValue& provider : transport["providers"].elements()) {
      const std::string name = provider["name"].text();
      EXPECT_EQ(transport["library"].text().empty(), name == "udp" || name == "local");
      for (const JsonValue& device : provider["devices"].elements()) {
        if (!device["usable"].is_true()) {
          EXPECT_FALSE(device["problem"].text().empty());
          continue;
        }
        const transport::DomainOptions options{provider["name"].text(), device["address"].text()};
        const auto domain = transport::Table::shared().open(options);
        EXPECT_EQ(device["max-send"].number(), domain->capabilities().max_send);
        EXPECT_EQ(device["ordered"].is_true(), domain->capabilities().ordered);
        has_loopback |= options.provider == "tcp" && options.local_address == "127.0.0.1" &&
                        device["interface"].text() == "lo";
      }
    }
  }
  EXPECT_EQ(has_loopback, any_of(transport::Table::shared().providers(),
                                 [](const std::string& name) { return name == "tcp"; }));
}

TEST(ToolInfo, prints_a_table_for_people) {
  Program program({"info"});
  EXPECT_EQ(program.wait(), 0) << program.err;
  for (const char* word : {"locked memory", "INTERFACE", "127.0.0.1", "provider=auto takes"}) {
    EXPECT_NE(program.out.find(word), std::string::npos) << word;
  }
}

TEST(ToolInfo, names_what_is_missing_and_why) {
  g_setenv("GRAINFABRIC_MODULE_PATH", "/nonexistent", TRUE);
  const JsonValue json = info();
  // Unless it is installed as well.
  for (const JsonValue& missing : json["missing"].elements()) {
    EXPECT_NE(missing["reason"].text().find("/nonexistent"), std::string::npos);
  }
}

}  // namespace
}  // namespace grainfabric::test
