// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "verbs_fixture.hpp"

/// What provider "verbs" has beyond the promises of every transport: its options, its limits, and
/// the events of its device. Where there is an RDMA device only (tests/vm).
namespace grainfabric::transport {
namespace {

TEST_F(VerbsTransport, the_smallest_queues_carry_any_number_of_writes) {
  Pair pair(with({{"max-wr", "8"}, {"max-cqe", "24"}, {"rnr-timer", "1"}}));
  EXPECT_EQ(pair.initiator_domain->capabilities().write_depth, 8U);
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 300, 3000);
}

TEST_F(VerbsTransport, a_long_write_is_cut_and_announced_once) {
  Pair pair(with({{"slice-size", "65536"}}));
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 3, 3'000'001);
}

TEST_F(VerbsTransport, both_sides_use_the_smaller_mtu) {
  for (const bool target_has_less : {true, false}) {
    Pair pair(with({}));
    (target_has_less ? pair.target_domain : pair.initiator_domain) = Table::shared().open(
        target_has_less ? with({{"mtu", "1024"}}) : Pair::from_other_end(with({{"mtu", "512"}})));
    ASSERT_TRUE(pair.connect());
    expect_writes_arrive(pair, 2, 100'000);
  }
  EXPECT_TRUE(logged("mtu asked 4096, got 1024")) << log_text();
  EXPECT_TRUE(logged("mtu asked 4096, got 512")) << log_text();
}

TEST_F(VerbsTransport, small_writes_need_no_inline_data) {
  Pair pair(with({{"inline-size", "0"}}));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 4096, Access::remote);
  for (std::uint32_t i = 0; i < 100; ++i) {
    std::string word = "credit" + std::to_string(i);
    ASSERT_EQ(pair.insist([&] {
      return pair.initiator->inject_write(as_message(word), ring.remote().address + 16 * i,
                                          ring.remote().key, i);
    }),
              Posted::ok);
    word.assign(word.size(), '!');
  }
  ASSERT_TRUE(pair.loop.run_until([&] { return pair.target_events.immediates.size() == 100; }));
  EXPECT_EQ(std::memcmp(ring.bytes.data() + 16 * 77, "credit77", 8), 0);
}

TEST_F(VerbsTransport, what_a_device_cannot_do_is_lowered_with_a_line_in_the_log) {
  Pair pair(with({{"max-cqe", "1000000"}, {"max-sge", "64"}, {"max-wr", "1000000"}}));
  EXPECT_TRUE(logged("max-cqe asked 1000000, got 32767 (the device's max_cqe)")) << log_text();
  EXPECT_TRUE(logged("max-sge asked 64, got 32 (the device's max_sge)")) << log_text();
  EXPECT_TRUE(logged("max-wr asked 1000000, got 10922 (a third of max-cqe")) << log_text();
  EXPECT_EQ(pair.initiator_domain->capabilities().write_depth, 10922U);
}

TEST_F(VerbsTransport, timers_retries_and_traffic_class_are_taken) {
  Pair pair(with({{"retry-count", "3"},
                  {"ack-timeout", "14"},
                  {"rnr-timer", "12"},
                  {"rnr-retry", "3"},
                  {"traffic-class", "106"}}));
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 10, 10'000);
}

TEST_F(VerbsTransport, a_target_that_serves_nothing_is_noticed) {
  Pair pair(with({{"max-wr", "8"}}));
  pair.initiator_domain =
      Table::shared().open(Pair::from_other_end(with({{"rnr-retry", "2"}, {"max-wr", "64"}})));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 4096, Access::remote);
  pair.loop.remove(*pair.target);
  for (std::uint32_t i = 0; i < 40; ++i) {
    EXPECT_EQ(
        pair.initiator->inject_write(as_message("x"), ring.remote().address, ring.remote().key, i),
        Posted::ok);
  }
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.initiator_events.closed.empty(); }));
  const Error& error = pair.initiator_events.closed[0];
  EXPECT_EQ(error.code(), ErrorCode::timed_out) << error.what();
  EXPECT_NE(error.remedy().find("rnr-timer"), std::string::npos) << error.what();
}

TEST_F(VerbsTransport, a_target_that_is_late_is_waited_for) {
  Pair pair(with({{"max-wr", "8"}}));
  pair.initiator_domain = Table::shared().open(Pair::from_other_end(with({{"max-wr", "64"}})));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 4096, Access::remote);
  for (std::uint32_t i = 0; i < 40; ++i) {
    EXPECT_EQ(
        pair.initiator->inject_write(as_message("x"), ring.remote().address, ring.remote().key, i),
        Posted::ok);
  }
  std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(pair.loop.run_until([&] { return pair.target_events.immediates.size() == 40; }));
  EXPECT_TRUE(pair.initiator_events.closed.empty());
}

TEST_F(VerbsTransport, a_gid_index_that_is_not_there_is_named) {
  const Error error = opening_error(with({{"gid-index", "200"}}));
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.failure().find("GID index 200"), std::string::npos) << error.what();
}

TEST_F(VerbsTransport, a_gid_index_that_there_is_carries_data) {
  // Of soft-RoCE, 0 is the link-local address and 1 the first one given: the test's IPv4 address.
  const std::string address = address_from("FABRIC_TEST_ADDRESS");
  if (address.find('.') == std::string::npos) GTEST_SKIP() << "the index is known for IPv4 only";
  Pair pair(with({{"gid-index", "1"}}));
  ASSERT_TRUE(pair.connect());
  expect_writes_arrive(pair, 10, 10'000);
}

TEST_F(VerbsTransport, a_device_by_name_goes_before_the_address) {
  DomainOptions options = with({{"device", "rxe0"}});
  ASSERT_EQ(Table::shared().open(with({}))->capabilities().interface, "rxe1");
  EXPECT_EQ(Table::shared().open(options)->capabilities().interface, "rxe0");
  options.local_address.clear();
  EXPECT_EQ(Table::shared().open(options)->capabilities().interface, "rxe0");
}

TEST_F(VerbsTransport, a_device_that_is_not_there_is_named_with_those_that_are) {
  for (const Options& wrong : {Options{{"device", "mlx5_9"}}, Options{{"port", "2"}}}) {
    const Error error = opening_error(with(wrong));
    EXPECT_EQ(error.code(), ErrorCode::unknown_interface) << error.what();
    EXPECT_NE(error.remedy().find("10.77.0.1"), std::string::npos) << error.what();
  }
}

TEST_F(VerbsTransport, an_address_of_no_rdma_device_is_named_with_those_that_are) {
  for (const char* address : {"127.0.0.1", "203.0.113.7"}) {
    const Error error = opening_error({"verbs", address, {}});
    EXPECT_EQ(error.code(), ErrorCode::unknown_interface) << error.what();
    EXPECT_NE(error.failure().find(address), std::string::npos) << error.what();
    EXPECT_NE(error.remedy().find("10.77.0.2"), std::string::npos) << error.what();
  }
}

TEST_F(VerbsTransport, without_an_address_one_of_a_device_is_taken) {
  Pair pair({"verbs", "", {}});
  ASSERT_TRUE(pair.connect());
}

TEST_F(VerbsTransport, an_unknown_option_is_refused_by_name) {
  const Error error = opening_error(with({{"max-rw", "16"}}));
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(error.remedy().find("max-wr"), std::string::npos) << error.what();
}

TEST_F(VerbsTransport, peers_of_two_ip_versions_do_not_meet) {
  Pair pair(with({}));
  pair.initiator_domain = Table::shared().open(
      {"verbs",
       address_from("FABRIC_TEST_ADDRESS").find(':') == std::string::npos ? "fd77::1" : "10.77.0.1",
       {}});
  pair.listen();
  EXPECT_THROW(pair.dial(), Error);
}

/// The initiator's end of the wire, FABRIC_TEST_LINK; put back by the network script of the guest.
class VerbsLink : public VerbsTransport {
 protected:
  void SetUp() override {
    VerbsTransport::SetUp();
    link_ = address_from("FABRIC_TEST_LINK");
    if (link_.empty()) GTEST_SKIP() << "FABRIC_TEST_LINK says which link may be pulled";
  }
  void pull() const { run("ip link set " + link_ + " down"); }
  void put_back() const { run("ip link set " + link_ + " up && bash /run/share/network again"); }

 private:
  static void run(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  std::string link_;
};

TEST_F(VerbsLink, that_comes_back_carries_data_again_on_a_connection_that_was_idle) {
  Pair pair(with({}));
  ASSERT_TRUE(pair.connect());
  pull();
  pair.loop.run_for(300ms);
  put_back();
  pair.loop.run_for(300ms);
  EXPECT_TRUE(logged("reports: port active")) << log_text();
  expect_writes_arrive(pair, 5, 10'000);
  EXPECT_TRUE(pair.initiator_events.closed.empty());
}

// The last of all: soft-RoCE of Linux 6.1 makes no more connections after one was closed while its
// link was down (its queue pair for the connection manager, QP1, stays in the error state).
TEST_F(VerbsLink, that_is_pulled_ends_a_connection_that_writes_and_is_named_in_the_log) {
  Pair pair(with({}));
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 100'000, Access::remote);
  Registered source(*pair.initiator_domain, 100'000, Access::local);
  const LocalPiece pieces[] = {source.piece(0, 100'000)};
  pull();
  EXPECT_EQ(pair.initiator->write(pieces, ring.remote().address, ring.remote().key, 1U, 1),
            Posted::ok);
  const bool closed =
      pair.loop.run_until([&] { return !pair.initiator_events.closed.empty(); }, 5s);
  EXPECT_TRUE(logged("reports: port error")) << log_text();
  const Error error = opening_error(Pair::from_other_end(with({})));
  put_back();
  ASSERT_TRUE(closed);
  // Soft-RoCE fails at once where a device would repeat until its retries are used up.
  const std::string why = pair.initiator_events.closed[0].what();
  EXPECT_NE(why.find("verbs on rxe0"), std::string::npos) << why;
  EXPECT_NE(error.failure().find("rxe0"), std::string::npos) << error.what();
  EXPECT_FALSE(error.remedy().empty());
}

}  // namespace
}  // namespace grainfabric::transport
