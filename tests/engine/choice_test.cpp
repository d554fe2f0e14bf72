// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.hpp"
#include "built.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/table.hpp"

namespace grainfabric::transport {
namespace {

using test::built;
using Names = std::vector<std::string>;

TEST(Choice, auto_takes_hardware_first_and_only_what_is_there) {
  EXPECT_EQ(offers("auto", {"tcp", "tcp;ofi_rxm", "shm", "verbs", "efa"}),
            (Names{"efa", "verbs", "tcp"}));
  EXPECT_EQ(offers("", {"shm", "tcp"}), Names{"tcp"});
  EXPECT_EQ(offers("auto", {"shm", "tcp;ofi_rxm"}), Names{});
  const Names all{"udp", "ofi:verbs", "tcp"};
  EXPECT_EQ(offers("auto", all), (Names{"ofi:verbs", "tcp", "udp"}));
  EXPECT_EQ(offers("auto", all, {1500, true}), (Names{"ofi:verbs", "tcp", "udp"}));
  EXPECT_EQ(offers("auto", all, {9000, false}), (Names{"ofi:verbs", "tcp", "udp"}));
  EXPECT_EQ(offers("auto", all, {9000, true}), (Names{"ofi:verbs", "udp", "tcp"}));
  EXPECT_EQ(offers("tcp,auto", all, {9000, true}), (Names{"tcp", "ofi:verbs", "udp"}));
  EXPECT_EQ(offers("auto", {"udp", "local", "efa"}), (Names{"local", "efa", "udp"}));
}

TEST(Choice, local_is_common_on_one_host_only) {
  const Names all{"local", "tcp"};
  EXPECT_EQ(common_providers(all, all), all);
  EXPECT_EQ(common_providers(all, all, false), Names{"tcp"});
  EXPECT_EQ(common_providers({"local"}, all, false), Names{});
}

TEST(Choice, a_name_is_taken_with_and_without_its_family) {
  EXPECT_EQ(offers("shm", {"tcp"}), Names{"shm"});
  EXPECT_EQ(offers("ofi:tcp;ofi_rxm", {"tcp", "tcp;ofi_rxm"}), Names{"tcp;ofi_rxm"});
  EXPECT_EQ(offers("ofi:", {"tcp"}), Names{"ofi:"});
}

TEST(Choice, libfabrics_verbs_is_not_ours) {
  EXPECT_EQ(offers("ofi:verbs", {"verbs", "ofi:verbs"}), Names{"ofi:verbs"});
  EXPECT_EQ(offers("ofi:verbs", {"verbs"}), Names{"ofi:verbs"});
  EXPECT_EQ(offers("verbs", {"verbs", "ofi:verbs"}), Names{"verbs"});
}

TEST(Choice, a_list_is_taken_in_its_order_and_each_name_once) {
  EXPECT_EQ(offers("shm,tcp", {"tcp", "shm"}), (Names{"shm", "tcp"}));
  EXPECT_EQ(offers(" shm , auto,,tcp", {"efa", "tcp", "shm"}), (Names{"shm", "efa", "tcp"}));
  EXPECT_EQ(offers(" , ", {"tcp"}), Names{"tcp"});
}

TEST(Choice, the_targets_order_decides_among_what_both_have) {
  EXPECT_EQ(common_providers({"efa", "verbs", "tcp"}, {"tcp", "verbs"}), (Names{"verbs", "tcp"}));
  EXPECT_EQ(common_providers({"verbs"}, {"tcp"}), Names{});
  EXPECT_EQ(join_names({}), "none");
  EXPECT_EQ(join_names({"a", "b"}), "a, b");
}

TEST(Interface, names_and_addresses_both_lead_to_an_address) {
  EXPECT_EQ(local_address_of("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(local_address_of("lo"), "127.0.0.1");
  EXPECT_EQ(interface_of("127.0.0.1"), "lo");
  EXPECT_EQ(interface_of("203.0.113.1"), "");
  EXPECT_GE(mtu_of("lo"), 1500U);
  EXPECT_EQ(mtu_of("127.0.0.1"), mtu_of("lo"));
  EXPECT_EQ(mtu_of("203.0.113.1"), 0U);
  EXPECT_EQ(mtu_of(std::string(300, 'x')), 0U);
  EXPECT_TRUE(is_loopback("lo"));
  EXPECT_TRUE(is_loopback("127.0.0.1"));
  EXPECT_FALSE(is_loopback("203.0.113.1"));
  EXPECT_FALSE(is_loopback(""));
  EXPECT_FALSE(facts_of("lo").tcp_is_paced);
}

TEST(Interface, of_several_addresses_the_one_of_the_peers_family_is_taken) {
  try {
    local_address_of("::1");
  } catch (const Error&) {
    GTEST_SKIP() << "this host has no IPv6 loopback";
  }
  EXPECT_EQ(local_address_of("lo", "::1"), "::1");
  EXPECT_EQ(local_address_of("lo", "192.0.2.1"), "127.0.0.1");
}

TEST(Interface, an_unknown_one_is_an_error_that_lists_what_there_is) {
  for (const char* name : {"nowhere0", "203.0.113.77", "", "lo "}) {
    try {
      local_address_of(name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unknown_interface);
      EXPECT_NE(error.remedy().find("lo (127.0.0.1)"), std::string::npos) << error.what();
    }
  }
}

/// Runs `body` in a process of its own, where the table is not filled yet, with modules searched in
/// `path`. Returns what it wrote.
std::string in_child(const std::string& path, const std::function<std::string()>& body) {
  int ends[2];
  if (::pipe(ends) != 0) return "pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("GRAINFABRIC_MODULE_PATH", path.c_str(), 1);
    std::string said;
    try {
      said = body();
    } catch (const std::exception& error) {
      said = std::string("threw ") + error.what();
    }
    const ssize_t written = ::write(ends[1], said.data(), said.size());
    ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string said;
  char part[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], part, sizeof part)) > 0;) {
    said.append(part, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? said : "died of signal " + std::to_string(WTERMSIG(status));
}

class Table : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("grainfabric-table-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path module() const { return folder_ / "libgrainfabric-ofi.so"; }
  static std::string missing() {
    std::string text = "providers: " + join_names(transport::Table::shared().providers());
    for (const auto& one : transport::Table::shared().missing()) {
      text += "; " + one.module + ": " + one.reason;
    }
    return text;
  }

  std::filesystem::path folder_;
};

TEST_F(Table, garbage_in_place_of_a_module_is_missing_with_the_reason) {
  std::ofstream(module()) << std::string(4096, 'x');
  const std::string said = in_child(folder_, missing);
  EXPECT_NE(said.find("providers: local, udp; verbs: "), std::string::npos) << said;
  EXPECT_NE(said.find("; ofi: "), std::string::npos) << said;
  EXPECT_NE(said.find("invalid ELF header"), std::string::npos) << said;
}

TEST_F(Table, who_asks_for_what_is_built_in_does_not_wait_for_modules) {
  std::filesystem::copy_file(built("libgrainfabric-without-transport.so"), module());
  const auto loaded_after = [this](const std::string& wanted) {
    return in_child(folder_, [wanted] {
      const auto names = transport::Table::shared().providers_for(wanted);
      if (transport::offers(wanted, names).empty()) return std::string("nothing to offer");
      transport::DomainOptions options;
      options.provider = "local";
      static_cast<void>(transport::Table::shared().open(options));
      std::ifstream maps("/proc/self/maps");
      for (std::string line; std::getline(maps, line);) {
        if (line.find("libgrainfabric-ofi") != std::string::npos) return std::string("loaded");
      }
      return std::string("not loaded");
    });
  };
  EXPECT_EQ(loaded_after("local"), "not loaded");
  EXPECT_EQ(loaded_after("local, udp"), "not loaded");
  EXPECT_EQ(loaded_after("local,tcp"), "loaded");
  EXPECT_EQ(loaded_after("auto"), "loaded");
  EXPECT_EQ(loaded_after(""), "loaded");
}

TEST_F(Table, a_module_whose_library_is_not_installed_is_missing_with_the_librarys_name) {
  std::filesystem::copy_file(built("libgrainfabric-without-library.so"), module());
  const std::string said = in_child(folder_, missing);
  EXPECT_NE(said.find("providers: local, udp; verbs: "), std::string::npos) << said;
  EXPECT_NE(said.find("; ofi: "), std::string::npos) << said;
  EXPECT_NE(said.find("libgrainfabric-absent.so"), std::string::npos) << said;
}

TEST_F(Table, a_module_that_gives_no_transport_is_missing_with_the_reason) {
  std::filesystem::copy_file(built("libgrainfabric-without-transport.so"), module());
  const std::string said = in_child(folder_, missing);
  EXPECT_NE(said.find("gives no transport"), std::string::npos) << said;
}

TEST_F(Table, a_library_that_is_no_module_is_missing_with_the_reason) {
  std::filesystem::copy_file(built("libgrainfabric-absent.so"), module());
  const std::string said = in_child(folder_, missing);
  EXPECT_NE(said.find("is not a transport module of this version"), std::string::npos) << said;
}

TEST_F(Table, folders_that_are_not_there_or_cannot_be_are_passed_over) {
  const std::string path =
      "/nowhere::" + std::string(5000, 'x') + ":/dev/null/x:" + folder_.string();
  std::ofstream(module()) << std::string(4096, 'x');
  const std::string said = in_child(path, missing);
  EXPECT_NE(said.find("invalid ELF header"), std::string::npos) << said;
}

TEST_F(Table, without_any_module_asking_for_one_says_what_to_install) {
  std::ofstream(module()) << std::string(4096, 'x');
  const std::string said = in_child(folder_, [] {
    require_offers("auto");  // there is always udp
    try {
      require_offers("tcp");
    } catch (const Error& error) {
      return std::string(to_string(error.code())) + ": " + error.what();
    }
    return std::string("accepted");
  });
  EXPECT_EQ(said.find("unknown-provider: Provider \"tcp\" is not available"), 0U) << said;
  EXPECT_NE(said.find("Install libfabric"), std::string::npos) << said;
}

TEST_F(Table, an_unknown_provider_is_an_error_that_lists_those_there_are) {
  const char* path = std::getenv("GRAINFABRIC_MODULE_PATH");
  const std::string said = in_child(path == nullptr ? "" : path, []() -> std::string {
    require_offers("auto");
    try {
      require_offers("carrier-pigeon");
    } catch (const Error& error) {
      return std::string(to_string(error.code())) + ": " + error.what();
    }
    return "accepted";
  });
  EXPECT_EQ(said.find("unknown-provider: Provider \"carrier-pigeon\""), 0U) << said;
  EXPECT_NE(said.find("Available here: auto, "), std::string::npos) << said;
  EXPECT_NE(said.find("udp"), std::string::npos) << said;
}

}  // namespace
}  // namespace grainfabric::transport
