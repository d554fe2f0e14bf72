// SPDX-License-Identifier: Apache-2.0
// `grainfabric bench` over every provider of this host, and what its two sides do when the other
// one goes away or never was what it should be.
#include <gtest/gtest.h>
#include <sched.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "patience.hpp"
#include "program.hpp"
#include "raw_peer.hpp"
#include "tool/bench/limits.hpp"
#include "tool/bench/messages.hpp"
#include "transport/choice.hpp"
#include "transport/table.hpp"

namespace grainfabric::test {
namespace {

using Clock = std::chrono::steady_clock;

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// A server on a free port.
class BenchServer : public Program {
 public:
  explicit BenchServer(const std::string& provider = "auto", const Arguments& more = {})
      : Program(with(
            {"bench", "server", "--address", "127.0.0.1", "--port", "0", "--provider", provider},
            more)) {
    const std::string said = line_with("port ");
    if (said.empty()) throw std::runtime_error("the server does not start: " + tool());
    port = said.substr(said.rfind(' ') + 1);
  }
  [[nodiscard]] Arguments client(const Arguments& more) const {
    return with({"bench", "client", "127.0.0.1", "--port", port, "--json"}, more);
  }
  [[nodiscard]] std::uint16_t port_number() const {
    return static_cast<std::uint16_t>(std::stoi(port));
  }
  std::string port;
};

/// What every good run says.
void expect_sound(const JsonValue& result) {
  EXPECT_GE(result["messages"].number(), 1);
  EXPECT_GE(result["verified"].number(), result["messages"].number());
  EXPECT_EQ(result["bytes"].number(), result["messages"].number() * result["size"].number());
  EXPECT_GT(result["seconds"].number(), 0);
  EXPECT_GT(result["gigabytes-per-second"].number(), 0);
  EXPECT_GT(result["cpu-seconds-per-gigabyte"]["client"].number(), 0);
  EXPECT_GT(result["cpu-seconds-per-gigabyte"]["server"].number(), 0);
  const JsonValue latency = result["latency-nanoseconds"];
  double last = 1;
  for (const char* quantile : {"p50", "p99", "p99.9", "max"}) {
    EXPECT_GE(latency[quantile].number(), last) << quantile;
    last = latency[quantile].number();
  }
}

int any_cpu() {
  cpu_set_t own;
  if (::sched_getaffinity(0, sizeof own, &own) != 0) throw std::runtime_error("no affinity");
  int cpu = 0;
  while (!CPU_ISSET(cpu, &own)) ++cpu;
  return cpu;
}

std::chrono::nanoseconds cpu_time(pid_t process) {
  clockid_t clock{};
  timespec spent{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &spent) != 0) {
    throw std::runtime_error("no CPU time of a process");
  }
  return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

bool has_thread_bound_to(int cpu, pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process) + "/task";
  for (const auto& thread : std::filesystem::directory_iterator(folder)) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line == "Cpus_allowed_list:\t" + std::to_string(cpu)) return true;
    }
  }
  return false;
}

class ToolBench : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto there = transport::Table::shared().providers();
    if (std::find(there.begin(), there.end(), GetParam()) == there.end()) {
      GTEST_SKIP() << GetParam() << " is not on this host";
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Providers, ToolBench, testing::Values("tcp", "tcp;ofi_rxm", "shm", "udp"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), ';', '_');
                           return name;
                         });

TEST_P(ToolBench, every_operation_arrives_verified_from_one_server) {
  BenchServer server(GetParam());
  for (const char* operation : {"write", "read", "send"}) {
    const bool sends = operation == std::string("send");
    Program client(
        server.client({"--operation", operation, "--verify", "--iterations", "100", "--provider",
                       GetParam(), "--sizes", sends ? "1,1000,4k" : "1,4097,1m,5529600"}));
    ASSERT_EQ(client.wait(), 0) << operation << ": " << client.err;
    const JsonValue json(client.out);
    EXPECT_EQ(json["provider"].text(), GetParam());
    EXPECT_EQ(json["results"].elements().size(), sends ? 3U : 4U);
    for (const JsonValue& result : json["results"].elements()) {
      EXPECT_EQ(result["operation"].text(), operation);
      EXPECT_EQ(result["messages"].number(), 100);
      expect_sound(result);
    }
  }
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0) << server.err;
}

TEST_P(ToolBench, one_message_at_a_time_and_small_pieces_and_a_time_limit_work) {
  BenchServer server(GetParam());
  Program client(server.client({"--verify", "--seconds", "0.2", "--depth", "1", "--piece-size",
                                "8k", "--sizes", "100000", "--provider", GetParam()}));
  ASSERT_EQ(client.wait(), 0) << client.err;
  const JsonValue result = JsonValue(client.out)["results"].elements().at(0);
  expect_sound(result);
  EXPECT_GE(result["seconds"].number(), 0.2);
  EXPECT_EQ(result["piece-size"].number(), 8192);
}

TEST_P(ToolBench, a_server_killed_in_mid_run_ends_the_client_in_bounded_time) {
  BenchServer server(GetParam());
  Program client(server.client({"--seconds", "60", "--sizes", "1m", "--provider", GetParam()}));
  ASSERT_NE(server.line_with("in flight"), "");
  std::this_thread::sleep_for(300ms);
  server.signal(SIGKILL);
  const auto killed = Clock::now();
  EXPECT_EQ(client.wait(), 1);
  EXPECT_LT(Clock::now() - killed, kPatience);
  EXPECT_NE(client.err.find("in the middle"), std::string::npos) << client.err;
  EXPECT_NE(JsonValue(client.out)["error"].text(), "");
}

TEST_P(ToolBench, a_client_killed_in_mid_run_leaves_the_server_to_the_next) {
  BenchServer server(GetParam());
  for (int i = 0; i < 3; ++i) {
    Program client(server.client({"--seconds", "60", "--sizes", "1m", "--provider", GetParam()}));
    ASSERT_NE(server.line_with("in flight"), "");
    std::this_thread::sleep_for(100ms);
    client.signal(SIGKILL);
    EXPECT_EQ(client.wait(), -SIGKILL);
    // Said once the session is over: the next one is not too early.
    ASSERT_NE(server.line_with(": "), "");
  }
  Program client(server.client({"--iterations", "10", "--verify", "--provider", GetParam()}));
  EXPECT_EQ(client.wait(), 0) << client.err;
}

/// What needs a transport, but not each of them.
class ToolBenchPeer : public testing::Test {
 protected:
  void SetUp() override {
    // Where there is none, no server starts.
    if (transport::offers("auto", transport::Table::shared().providers()).empty()) {
      GTEST_SKIP() << "no transport that auto takes";
    }
  }
};

TEST_F(ToolBenchPeer, a_second_client_is_told_that_the_server_is_busy) {
  BenchServer server;
  Program first(server.client({"--seconds", "60", "--sizes", "64k"}));
  ASSERT_NE(server.line_with("in flight"), "");
  Program second(server.client({"--iterations", "1"}));
  EXPECT_EQ(second.wait(), 1);
  EXPECT_NE(second.err.find("already"), std::string::npos) << second.err;
}

TEST_F(ToolBenchPeer, a_frozen_server_ends_the_client_in_bounded_time) {
  BenchServer server;
  Program client(server.client({"--seconds", "60", "--sizes", "64k"}));
  ASSERT_NE(server.line_with("in flight"), "");
  server.signal(SIGSTOP);
  const auto frozen = Clock::now();
  EXPECT_EQ(client.wait(), 1);
  EXPECT_LT(Clock::now() - frozen, 2 * tool::kSilence);
  server.signal(SIGCONT);
  Program next(server.client({"--iterations", "1"}));
  EXPECT_EQ(next.wait(), 0) << next.err;
}

TEST_F(ToolBenchPeer, a_busy_side_spins_on_its_cpu_while_the_other_is_frozen) {
  const int cpu = any_cpu();
  const Arguments busy = {"--polling", "busy", "--cpus", std::to_string(cpu)};
  for (const bool at_client : {false, true}) {
    BenchServer server("auto", at_client ? Arguments{} : busy);
    Program client(
        server.client(with({"--seconds", "60", "--sizes", "64k"}, at_client ? busy : Arguments{})));
    ASSERT_NE(server.line_with("in flight"), "");
    Program& spinning = at_client ? client : static_cast<Program&>(server);
    Program& frozen = at_client ? static_cast<Program&>(server) : client;
    // Event polling takes a hundredth of it. Other tests may have most of this CPU, and at first
    // there may be no data connection yet.
    EXPECT_TRUE(eventually([&] {
      frozen.signal(SIGSTOP);
      std::this_thread::sleep_for(100ms);  // what was on its way
      const auto before = cpu_time(spinning.pid());
      std::this_thread::sleep_for(400ms);
      const bool spins = cpu_time(spinning.pid()) - before > 40ms;
      if (!spins) frozen.signal(SIGCONT);
      return spins;
    })) << (at_client ? "client" : "server");
    EXPECT_TRUE(has_thread_bound_to(cpu, spinning.pid())) << (at_client ? "client" : "server");
    frozen.signal(SIGKILL);
  }
}

TEST_F(ToolBenchPeer, garbage_at_the_port_hurts_nobody) {
  BenchServer server;
  const tool::Hello hello{tool::kBenchVersion, "test", {"tcp"}};
  const auto say = [&](const std::vector<std::vector<std::byte>>& frames) {
    RawPeer peer(server.port_number());
    for (const auto& bytes : frames) peer.say(bytes);
    return peer.is_closed();
  };
  const auto frame_of = [](const auto& message) {
    return frame(static_cast<std::uint16_t>(message.kType), message.encode().get());
  };
  EXPECT_TRUE(say({bytes_of("GET / HTTP/1.0\r\n\r\n")}));
  EXPECT_TRUE(say({bytes_of("GFC1")}));  // at the deadline of HELLO
  EXPECT_TRUE(say({frame(256, bytes_of("no fields at all"))}));
  EXPECT_TRUE(say({frame(9999, tool::Start{}.encode().get())}));
  EXPECT_TRUE(say({frame_of(tool::Start{})}));
  EXPECT_TRUE(say({frame_of(hello), frame_of(hello)}));
  EXPECT_TRUE(say({frame_of(hello), frame_of(tool::Round{tool::Operation::write, 0, 1})}));
  EXPECT_TRUE(say({frame_of(hello), frame_of(tool::Round{tool::Operation::write, 1, 1 << 20})}));
  EXPECT_TRUE(
      say({frame_of(hello), frame_of(tool::Round{tool::Operation::write, 4ULL << 30, 1024})}));
  EXPECT_TRUE(say({frame_of(hello), frame_of(tool::End{})}));
  Program client(server.client({"--iterations", "1", "--verify"}));
  EXPECT_EQ(client.wait(), 0) << client.err;
}

TEST_F(ToolBenchPeer, another_version_is_refused_in_words) {
  BenchServer server;
  RawPeer peer(server.port_number());
  peer.say(256, tool::Hello{tool::kBenchVersion + 1, "future", {"tcp"}}.encode());
  const auto answer = peer.hear_type(static_cast<std::uint16_t>(tool::Type::refuse));
  ASSERT_TRUE(answer);
  const auto refuse = protocol::Refuse::decode(answer->fields.get());
  EXPECT_EQ(refuse.code, ErrorCode::version);
  EXPECT_NE(refuse.text.find("version 2"), std::string::npos) << refuse.text;
}

TEST_F(ToolBenchPeer, an_element_that_meets_the_server_hears_a_reason) {
  BenchServer server;
  RawPeer peer(server.port_number());
  peer.say(static_cast<std::uint16_t>(protocol::Type::hello), protocol::Hello{}.encode());
  const auto answer = peer.hear_type(static_cast<std::uint16_t>(protocol::Type::refuse));
  ASSERT_TRUE(answer);
  EXPECT_NE(protocol::Refuse::decode(answer->fields.get()).text.find("fabricsrc"),
            std::string::npos);
}

/// A client, and whatever else may listen at the port.
struct Stranger {
  RawListener listener;
  Program client{{"bench", "client", "127.0.0.1", "--port", std::to_string(listener.port())}};
};

TEST_F(ToolBenchPeer, a_port_where_something_else_listens_is_a_failure) {
  Stranger stranger;
  auto peer = stranger.listener.accept();
  ASSERT_TRUE(peer);
  peer->say(bytes_of("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"));
  EXPECT_EQ(stranger.client.wait(), 1);
  EXPECT_NE(stranger.client.err.find("does not speak"), std::string::npos) << stranger.client.err;
}

TEST_F(ToolBenchPeer, a_port_where_nobody_answers_is_a_failure_in_bounded_time) {
  Stranger stranger;
  auto peer = stranger.listener.accept();
  ASSERT_TRUE(peer);
  EXPECT_EQ(stranger.client.wait(), 1);
  EXPECT_NE(stranger.client.err.find("does not answer HELLO"), std::string::npos)
      << stranger.client.err;
}

TEST_F(ToolBenchPeer, no_server_no_such_host_and_no_such_provider_are_failures) {
  std::string free_port;
  {
    const RawListener listener;
    free_port = std::to_string(listener.port());
  }
  const std::pair<Arguments, const char*> failures[] = {
      {{"127.0.0.1", "--port", free_port}, "bench server"},
      {{"no-such-host.invalid"}, "no-such-host.invalid"},
      {{"127.0.0.1", "--provider", "warp"}, "\"warp\" is not available"},
      {{"127.0.0.1", "--interface", "warp0"}, "\"warp0\""},
  };
  for (const auto& [more, word] : failures) {
    Program client(with({"bench", "client"}, more));
    EXPECT_EQ(client.wait(), 1) << word;
    EXPECT_NE(client.err.find(word), std::string::npos) << client.err;
  }
}

TEST_F(ToolBenchPeer, a_message_longer_than_the_transport_sends_is_a_failure) {
  BenchServer server;
  Program client(server.client({"--operation", "send", "--sizes", "1m"}));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_NE(client.err.find("at most"), std::string::npos) << client.err;
}

TEST_F(ToolBenchPeer, a_taken_port_and_an_address_of_nobody_keep_a_server_from_starting) {
  const RawListener taken;
  Program server(
      {"bench", "server", "--address", "127.0.0.1", "--port", std::to_string(taken.port())});
  EXPECT_EQ(server.wait(), 1);
  EXPECT_NE(server.err.find("in use"), std::string::npos) << server.err;
  Program nowhere({"bench", "server", "--address", "warp0"});
  EXPECT_EQ(nowhere.wait(), 1);
}

}  // namespace
}  // namespace grainfabric::test
