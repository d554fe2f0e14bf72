// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <set>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "patience.hpp"
#include "transport/interface.hpp"
#include "transport_pair.hpp"

#if GRAINFABRIC_FINDS_LEAKS
#include <sanitizer/lsan_interface.h>
#endif

/// What every transport promises (transport.hpp), held by each provider that a plain host has.
namespace grainfabric::transport {
namespace {

/// Fewer where each takes many times as long.
const int kConnections = test::kSlowdown * test::host_slowdown() > 1 ? 200 : 1000;

std::size_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::size_t shared_memory_files() {
  const std::filesystem::directory_iterator all("/dev/shm");
  return static_cast<std::size_t>(std::count_if(begin(all), end(all), [](const auto& entry) {
    return entry.path().filename().string().starts_with(std::to_string(::getpid()));
  }));
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// At FABRIC_TEST_ADDRESS, for what does not run over the loopback interface (tests/vm).
DomainOptions options_for(const std::string& provider) {
  const char* address = std::getenv("FABRIC_TEST_ADDRESS");
  if (provider == "shm") address = "";
  return {provider, address != nullptr ? address : "127.0.0.1", {}};
}

/// Log lines while it lives.
class LogCapture {
 public:
  LogCapture() {
    set_log_hook([this](LogLevel level, const char*, const std::string& line) {
      if (level <= LogLevel::warning) lines.push_back(line);
    });
  }
  ~LogCapture() { set_log_hook({}); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  [[nodiscard]] bool has(const std::string& word) const {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(word) != std::string::npos;
    });
  }
  std::vector<std::string> lines;
};

class TransportConformance : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto providers = Table::shared().providers();
    if (std::find(providers.begin(), providers.end(), GetParam()) == providers.end()) {
      GTEST_SKIP() << GetParam() << " is not on this host";
    }
    const std::string address = options().local_address;
    if (!address.empty() && interface_of(address).empty()) {
      GTEST_SKIP() << "this host has no address " << address;
    }
  }
  void TearDown() override {
    EXPECT_EQ(shared_memory_files(), 0U);
    EXPECT_FALSE(log_.has("did not close"));
  }

  [[nodiscard]] std::string provider() const { return GetParam(); }
  [[nodiscard]] bool is(const char* name) const { return provider() == name; }
  [[nodiscard]] DomainOptions options() const { return options_for(provider()); }
  [[nodiscard]] const LogCapture& log() const { return log_; }

 private:
  LogCapture log_;
};

TEST_P(TransportConformance, a_domain_says_what_it_can_do) {
  const auto domain = Table::shared().open(options());
  const Capabilities& can = domain->capabilities();
  EXPECT_EQ(can.provider, provider());
  EXPECT_FALSE(can.interface.empty());
  // libfabric's verbs leaves it at what soft-RoCE takes in one message.
  EXPECT_GE(can.max_write, is("ofi:verbs") ? 8U << 20 : 64U << 20);
  EXPECT_GE(can.max_inject, 8U);
  EXPECT_EQ(can.max_send, 4096U);
  EXPECT_GE(can.max_pieces, 2U);
  EXPECT_GE(can.write_depth, 8U);
  EXPECT_EQ(can.ordered, !is("shm") && std::getenv("FABRIC_TEST_UNORDERED") == nullptr);
}

TEST_P(TransportConformance, the_length_of_a_piece_can_be_set) {
  const auto opened = [&](const char* size) {
    DomainOptions with = options();
    with.options = {{"piece-size", size}};
    return Table::shared().open(with);
  };
  if (provider() == "local" || provider() == "verbs") {
    EXPECT_THROW(opened("65536"), Error);  // nothing is cut there, or by slice-size
    return;
  }
  // Whole grains where TCP is not paced.
  const bool unpaced = provider() == "tcp" && is_loopback(options().local_address);
  EXPECT_EQ(Table::shared().open(options())->capabilities().piece_size,
            (unpaced ? 32U << 20U : 512U << 10U));
  EXPECT_EQ(opened("65536")->capabilities().piece_size, 65536U);
  EXPECT_THROW(opened("4095"), Error);
  EXPECT_THROW(opened("64k"), Error);
}

TEST_P(TransportConformance, both_sides_connect_with_the_token) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  EXPECT_FALSE(pair.target->address().bytes.empty());
  EXPECT_FALSE(pair.target->address().format.empty());
  EXPECT_TRUE(pair.initiator->address().bytes.empty());
}

TEST_P(TransportConformance, a_wrong_token_is_turned_away_and_the_right_one_still_gets_in) {
  Pair pair(options());
  pair.listen();
  Recorder stranger_events;
  auto stranger =
      pair.initiator_domain->connect(pair.target->address(), Token::random(), stranger_events);
  pair.loop.add(*stranger);
  // Providers without connections ignore a stranger, who then gives up by himself.
  ASSERT_TRUE(pair.loop.run_until(
      [&] { return log().has("token") && (!is("tcp") || !stranger_events.closed.empty()); }));
  EXPECT_EQ(pair.target_events.connected, 0);
  EXPECT_EQ(pair.target_events.closed.size(), 0U);
  pair.dial();
  EXPECT_TRUE(pair.loop.run_until(
      [&] { return pair.initiator_events.connected == 1 && pair.target_events.connected == 1; }));
  EXPECT_EQ(stranger_events.connected, 0);
}

TEST_P(TransportConformance, a_second_peer_with_the_token_is_turned_away) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  Recorder second_events;
  auto second = pair.initiator_domain->connect(pair.target->address(), pair.token, second_events);
  pair.loop.add(*second);
  pair.loop.run_for(100ms);
  EXPECT_EQ(second_events.connected, 0);
  EXPECT_EQ(pair.target_events.connected, 1);
  EXPECT_TRUE(pair.target_events.closed.empty());
}

TEST_P(TransportConformance, a_write_of_several_pieces_arrives_bit_exact_at_its_offset) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  constexpr std::size_t kSize = 3'000'000;
  constexpr std::size_t kOffset = 4096 + 17;
  Registered ring(*pair.target_domain, kSize + 2 * 4096, Access::remote);
  Registered source(*pair.initiator_domain, kSize + 100, Access::local);
  source.fill(1);
  // Out of order in memory, so that a transport that ignores piece boundaries is found out.
  const LocalPiece pieces[] = {source.piece(2'000'000, 1'000'000), source.piece(0, 1'999'999)};
  ASSERT_EQ(pair.initiator->write(pieces, ring.remote().address + kOffset, ring.remote().key,
                                  0xfedcba98U, 77),
            Posted::ok);
  ASSERT_TRUE(pair.loop.run_until([&] {
    return pair.target_events.immediates.size() == 1 && pair.initiator_events.completed.size() == 1;
  }));
  EXPECT_EQ(pair.target_events.immediates[0], 0xfedcba98U);
  EXPECT_EQ(pair.initiator_events.completed[0], 77U);
  const auto at = ring.bytes.begin() + kOffset;
  EXPECT_TRUE(std::equal(at, at + 1'000'000, source.bytes.begin() + 2'000'000));
  EXPECT_TRUE(std::equal(at + 1'000'000, at + 2'999'999, source.bytes.begin()));
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  EXPECT_TRUE(std::all_of(ring.bytes.begin(), at, is_zero));
  EXPECT_TRUE(std::all_of(at + 2'999'999, ring.bytes.end(), is_zero));
}

TEST_P(TransportConformance, an_immediate_speaks_for_the_writes_before_it_where_ordered) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  constexpr std::size_t kSize = 1'000'000;
  Registered ring(*pair.target_domain, 2 * kSize, Access::remote);
  Registered source(*pair.initiator_domain, 2 * kSize, Access::local);
  source.fill(2);
  const bool ordered = pair.initiator_domain->capabilities().ordered;
  bool in_place = false;
  pair.target_events.when_immediate = [&](std::uint32_t) { in_place = ring.bytes == source.bytes; };
  const LocalPiece first[] = {source.piece(0, kSize)};
  const LocalPiece second[] = {source.piece(kSize, kSize)};
  // Where there is no order, each write announces itself and the target counts.
  const std::optional<std::uint32_t> announced =
      ordered ? std::nullopt : std::optional<std::uint32_t>(1);
  ASSERT_EQ(pair.initiator->write(first, ring.remote().address, ring.remote().key, announced, 1),
            Posted::ok);
  ASSERT_EQ(pair.initiator->write(second, ring.remote().address + kSize, ring.remote().key, 2U, 2),
            Posted::ok);
  const std::size_t expected = ordered ? 1 : 2;
  ASSERT_TRUE(
      pair.loop.run_until([&] { return pair.target_events.immediates.size() == expected; }));
  EXPECT_TRUE(in_place);
}

TEST_P(TransportConformance, a_write_without_immediate_arrives_in_silence) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 100'000, Access::remote);
  Registered source(*pair.initiator_domain, 100'000, Access::local);
  source.fill(3);
  const LocalPiece pieces[] = {source.piece(0, 100'000)};
  ASSERT_EQ(pair.initiator->write(pieces, ring.remote().address, ring.remote().key, {}, 5),
            Posted::ok);
  EXPECT_TRUE(pair.loop.run_until([&] { return ring.bytes == source.bytes; }));
  EXPECT_TRUE(pair.loop.run_until([&] { return pair.initiator_events.completed.size() == 1; }));
  EXPECT_TRUE(pair.target_events.immediates.empty());
}

TEST_P(TransportConformance, injected_writes_go_both_ways_and_leave_the_callers_memory_free) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 4096, Access::remote);
  Registered back(*pair.initiator_domain, 4096, Access::remote);
  const std::string word = "creditXY";
  std::string scratch = word;
  const auto inject = [&](Endpoint& from, const RemoteMemory& to, std::uint32_t immediate) {
    scratch = word;
    const Posted posted = pair.insist(
        [&] { return from.inject_write(as_message(scratch), to.address + 8, to.key, immediate); });
    scratch.assign(word.size(), '!');
    return posted;
  };
  ASSERT_EQ(inject(*pair.initiator, ring.remote(), 10), Posted::ok);
  ASSERT_EQ(inject(*pair.target, back.remote(), 20), Posted::ok);
  ASSERT_TRUE(pair.loop.run_until([&] {
    return !pair.target_events.immediates.empty() && !pair.initiator_events.immediates.empty();
  }));
  EXPECT_EQ(pair.target_events.immediates, std::vector<std::uint32_t>{10});
  EXPECT_EQ(pair.initiator_events.immediates, std::vector<std::uint32_t>{20});
  EXPECT_EQ(std::memcmp(ring.bytes.data() + 8, word.data(), word.size()), 0);
  EXPECT_EQ(std::memcmp(back.bytes.data() + 8, word.data(), word.size()), 0);
  EXPECT_TRUE(pair.initiator_events.completed.empty());
  EXPECT_TRUE(pair.target_events.completed.empty());
}

TEST_P(TransportConformance, a_read_fetches_the_peers_memory) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  Registered there(*pair.target_domain, 300'000, Access::remote);
  Registered here(*pair.initiator_domain, 200'000, Access::local);
  there.fill(4);
  ASSERT_EQ(pair.initiator->read(here.piece(0, 200'000), there.remote().address + 50'000,
                                 there.remote().key, 9),
            Posted::ok);
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.initiator_events.completed.empty(); }));
  EXPECT_EQ(pair.initiator_events.completed, std::vector<std::uint64_t>{9});
  EXPECT_TRUE(std::equal(here.bytes.begin(), here.bytes.end(), there.bytes.begin() + 50'000));
}

TEST_P(TransportConformance, reads_beyond_the_depth_fetch_each_its_own) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  constexpr std::size_t kCount = 600;
  constexpr std::size_t kSize = 9'000;
  Registered there(*pair.target_domain, kCount * kSize, Access::remote);
  Registered here(*pair.initiator_domain, kCount * kSize, Access::local);
  there.fill(8);
  for (std::size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(pair.insist([&] {
      return pair.initiator->read(here.piece(i * kSize, kSize), there.remote().address + i * kSize,
                                  there.remote().key, i);
    }),
              Posted::ok)
        << i;
  }
  EXPECT_TRUE(
      pair.loop.run_until([&] { return pair.initiator_events.completed.size() >= kCount; }));
  EXPECT_EQ(pair.initiator_events.completed.size(), kCount);
  EXPECT_TRUE(pair.initiator_events.closed.empty());
  EXPECT_EQ(here.bytes, there.bytes);
}

TEST_P(TransportConformance, messages_go_both_ways_in_order_and_complete) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  const std::size_t longest = pair.initiator_domain->capabilities().max_send;
  std::vector<std::string> sent;
  for (std::size_t i = 0; i < 200; ++i) {
    std::string text(i == 7 ? longest : 1 + (i * 37) % 900, static_cast<char>('a' + i % 26));
    for (Endpoint* from : {pair.initiator.get(), pair.target.get()}) {
      std::string scratch = text;
      ASSERT_EQ(pair.insist([&] { return from->send(as_message(scratch), i); }), Posted::ok);
      std::fill(scratch.begin(), scratch.end(), '!');
    }
    sent.push_back(text);
  }
  EXPECT_TRUE(pair.loop.run_until([&] {
    return pair.target_events.messages.size() == 200 &&
           pair.initiator_events.messages.size() == 200 &&
           pair.target_events.completed.size() == 200 &&
           pair.initiator_events.completed.size() == 200;
  }));
  EXPECT_EQ(pair.target_events.messages, sent);
  EXPECT_EQ(pair.initiator_events.messages, sent);
}

TEST_P(TransportConformance, a_burst_beyond_the_depth_arrives_exactly_once_each) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  const std::size_t count =
      std::max<std::size_t>(300, 2 * pair.initiator_domain->capabilities().write_depth);
  constexpr std::size_t kSize = 2000;
  Registered ring(*pair.target_domain, count * kSize, Access::remote);
  Registered source(*pair.initiator_domain, count * kSize, Access::local);
  source.fill(5);
  bool was_full = false;
  for (std::size_t i = 0; i < count; ++i) {
    const LocalPiece pieces[] = {source.piece(i * kSize, kSize)};
    ASSERT_EQ(pair.insist([&] {
      const Posted posted =
          pair.initiator->write(pieces, ring.remote().address + i * kSize, ring.remote().key,
                                static_cast<std::uint32_t>(i), i);
      was_full = was_full || posted == Posted::again;
      return posted;
    }),
              Posted::ok);
  }
  EXPECT_TRUE(was_full);
  EXPECT_TRUE(pair.loop.run_until([&] {
    return pair.target_events.immediates.size() >= count &&
           pair.initiator_events.completed.size() >= count;
  }));
  const std::set<std::uint32_t> distinct(pair.target_events.immediates.begin(),
                                         pair.target_events.immediates.end());
  EXPECT_EQ(distinct.size(), count);
  EXPECT_EQ(pair.target_events.immediates.size(), count);
  EXPECT_EQ(ring.bytes, source.bytes);
}

TEST_P(TransportConformance, callbacks_may_post) {
  Pair pair(options());
  pair.listen();
  Registered there(*pair.target_domain, 4096, Access::remote);
  Registered here(*pair.initiator_domain, 4096, Access::remote);
  const std::string word = "ball";
  int refused = 0;
  const auto hit = [&](Endpoint& from, const Registered& to, std::uint32_t count) {
    if (from.inject_write(as_message(word), to.remote().address, to.remote().key, count) !=
        Posted::ok) {
      ++refused;
    }
  };
  pair.initiator_events.when_connected = [&] { hit(*pair.initiator, there, 0); };
  pair.target_events.when_immediate = [&](std::uint32_t n) { hit(*pair.target, here, n + 1); };
  pair.initiator_events.when_immediate = [&](std::uint32_t n) {
    if (n < 1000) hit(*pair.initiator, there, n + 1);
  };
  pair.dial();
  // rxm lacks credit for a first write inside on_connected() now and then; it says so.
  EXPECT_TRUE(pair.loop.run_until([&] {
    if (refused > 0) {
      refused = 0;
      hit(*pair.initiator, there, 0);
    }
    return !pair.initiator_events.immediates.empty() &&
           pair.initiator_events.immediates.back() >= 1000;
  }));
}

TEST_P(TransportConformance, a_request_that_can_never_work_closes_with_the_reason) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  const Capabilities& can = pair.initiator_domain->capabilities();
  const std::vector<std::byte> big(can.max_send + 1);
  EXPECT_EQ(pair.initiator->send(big, 1), Posted::failed);
  EXPECT_TRUE(pair.loop.run_until([&] { return !pair.initiator_events.closed.empty(); }));
  EXPECT_EQ(pair.initiator_events.closed.at(0).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(pair.initiator->send(as_message("x"), 2), Posted::failed);
  pair.loop.run_for(20ms);
  EXPECT_EQ(pair.initiator_events.closed.size(), 1U);
}

/// Longer than any socket buffer: rxm of libfabric 1.17 says nothing about a bad write that had
/// left this side already when the target closed the connection over it.
constexpr std::size_t kLongWrite = 16U << 20;

/// As much of it as there can be in one write.
std::size_t long_write(const Pair& pair) {
  return std::min(kLongWrite, pair.initiator_domain->capabilities().max_write);
}

/// Writes long_write() bytes to where they must not go, and waits for the answer. shm of libfabric
/// 1.17 refuses the write but never says so; the session's own deadlines have to.
void write_in_vain(Pair* pair, const RemoteMemory& target, bool provider_tells) {
  const std::size_t size = long_write(*pair);
  Registered source(*pair->initiator_domain, size, Access::local);
  source.fill(6);
  const LocalPiece pieces[] = {source.piece(0, size)};
  ASSERT_EQ(pair->initiator->write(pieces, target.address, target.key, 1U, 1), Posted::ok);
  const bool told = pair->loop.run_until([&] { return !pair->initiator_events.closed.empty(); },
                                         provider_tells ? 3000ms : 100ms);
  EXPECT_EQ(told, provider_tells);
  EXPECT_TRUE(pair->target_events.immediates.empty());
  pair->drop_initiator();  // before the memory it may still send
}

TEST_P(TransportConformance, a_key_of_nobody_corrupts_nothing_and_closes) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, kLongWrite, Access::remote);
  RemoteMemory wrong = ring.remote();
  wrong.key ^= 1;
  write_in_vain(&pair, wrong, !is("shm"));
  EXPECT_EQ(ring.bytes, std::vector<std::byte>(kLongWrite));
}

TEST_P(TransportConformance, a_write_beyond_the_registered_memory_corrupts_nothing_and_closes) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  std::vector<std::byte> memory(2 * kLongWrite);
  const auto inside = std::span(memory).subspan(4096, long_write(pair) - 1);
  const auto window = pair.target_domain->register_memory(inside, Access::remote);
  write_in_vain(&pair, window->remote(), !is("shm"));
  // Soft-RoCE takes 8 MiB in one message: of a longer write the first part is a good one.
  if (is("verbs")) std::fill(inside.begin(), inside.end(), std::byte{0});
  EXPECT_EQ(memory, std::vector<std::byte>(memory.size()));
}

TEST_P(TransportConformance, a_key_of_withdrawn_memory_opens_nothing) {
  if (is("ofi:verbs") && std::getenv("FI_MR_CACHE_MAX_COUNT") == nullptr) {
    GTEST_SKIP() << "libfabric's cache keeps withdrawn memory registered, and its key opens it";
  }
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  std::vector<std::byte> memory(kLongWrite);
  auto registration = pair.target_domain->register_memory(memory, Access::remote);
  const RemoteMemory stale = registration->remote();
  registration.reset();
  write_in_vain(&pair, stale, !is("shm"));
  EXPECT_EQ(memory, std::vector<std::byte>(kLongWrite));
}

TEST_P(TransportConformance, the_initiator_hears_that_its_target_is_gone) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  pair.drop_target();
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.initiator_events.closed.empty(); }, 1s));
  EXPECT_EQ(pair.initiator_events.closed[0].code(), ErrorCode::disconnected);
  EXPECT_EQ(pair.target_events.closed.size(), 0U);  // destroying says nothing to the destroyer
  pair.loop.run_for(20ms);
  EXPECT_EQ(pair.initiator_events.closed.size(), 1U);
  EXPECT_EQ(pair.initiator_events.after_close, 0);
  EXPECT_TRUE(pair.initiator->arm()) << "the loop would spin for as long as it is kept";
}

TEST_P(TransportConformance, the_target_hears_that_its_initiator_is_gone_after_all_it_wrote) {
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  Registered ring(*pair.target_domain, 4096, Access::remote);
  const std::string word = "last";
  for (std::uint32_t i = 0; i < 10; ++i) {
    ASSERT_EQ(
        pair.initiator->inject_write(as_message(word), ring.remote().address, ring.remote().key, i),
        Posted::ok);
  }
  pair.drop_initiator();
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.target_events.closed.empty(); }, 1s));
  EXPECT_EQ(pair.target_events.closed[0].code(), ErrorCode::disconnected);
  EXPECT_EQ(pair.target_events.immediates.size(), 10U);
  pair.loop.run_for(20ms);
  EXPECT_EQ(pair.target_events.closed.size(), 1U);
  EXPECT_EQ(pair.target_events.after_close, 0);
}

TEST_P(TransportConformance, connecting_to_nobody_ends_in_time) {
  Pair pair(options());
  pair.listen();
  const Address gone = pair.target->address();
  pair.drop_target();
  const auto start = TestClock::now();
  pair.initiator = pair.initiator_domain->connect(gone, pair.token, pair.initiator_events);
  pair.loop.add(*pair.initiator);
  ASSERT_TRUE(pair.loop.run_until([&] { return !pair.initiator_events.closed.empty(); },
                                  kConnectTimeout + 500ms));
  EXPECT_LT(TestClock::now() - start, kConnectTimeout + 500ms);
  EXPECT_EQ(pair.initiator_events.connected, 0);
  const std::string what = pair.initiator_events.closed[0].what();
  EXPECT_NE(what.find(provider()), std::string::npos) << what;
  EXPECT_FALSE(pair.initiator_events.closed[0].remedy().empty()) << what;
}

TEST_P(TransportConformance, an_address_that_is_none_is_an_error) {
  Pair pair(options());
  pair.listen();
  const Address good = pair.target->address();
  std::vector<Address> bad;
  bad.push_back({good.format, {}});
  bad.push_back({good.format, std::vector<std::byte>(kMaxAddress + 1, std::byte{'a'})});
  bad.push_back({good.format, std::vector<std::byte>(good.bytes.size(), std::byte{0})});
  bad.push_back({good.format, std::vector<std::byte>(good.bytes.size(), std::byte{0xff})});
  bad.push_back({good.format, {good.bytes.begin(), good.bytes.end() - 1}});
  bad.push_back({"", good.bytes});
  bad.push_back({"FI_SOCKADDR_IB", std::vector<std::byte>(48, std::byte{1})});
  bad.push_back({"FI_ADDR_PSMX", good.bytes});
  const std::string path = "fi_shm://../../etc/passwd";
  bad.push_back({"FI_ADDR_STR", {as_message(path).begin(), as_message(path).end()}});
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(4242);
  const auto raw = std::as_bytes(std::span(&any, 1));
  bad.push_back({"FI_SOCKADDR_IN", {raw.begin(), raw.end()}});
  for (const Address& address : bad) {
    Recorder events;
    EXPECT_THROW(auto endpoint = pair.initiator_domain->connect(address, pair.token, events), Error)
        << address.format << " " << address.bytes.size();
    EXPECT_TRUE(events.closed.empty());
  }
}

TEST_P(TransportConformance, many_connections_closed_with_transfers_in_flight_leave_nothing) {
  constexpr std::size_t kSize = 300'000;
  constexpr int kTogether = 10;
  const int rounds = kConnections / kTogether;
  std::vector<std::unique_ptr<Pair>> pairs;
  std::vector<std::unique_ptr<Registered>> memory;
  for (int i = 0; i < kTogether; ++i) {
    pairs.push_back(std::make_unique<Pair>(options()));
    memory.push_back(std::make_unique<Registered>(*pairs[i]->target_domain, kSize, Access::remote));
    memory.push_back(
        std::make_unique<Registered>(*pairs[i]->initiator_domain, kSize, Access::local));
  }
  std::size_t before = 0;
  for (int round = 0; round < rounds; ++round) {
    PollLoop loop;
    for (auto& pair : pairs) {
      pair->token = Token::random();
      pair->target_events = Recorder();
      pair->initiator_events = Recorder();
      pair->listen();
      pair->dial();
      loop.add(*pair->target);
      loop.add(*pair->initiator);
      // One after the other: what is opened next may take longer than an answer may (rxm with
      // sanitizers), and nothing answers meanwhile.
      const Recorder& target = pair->target_events;
      const Recorder& initiator = pair->initiator_events;
      loop.run_until([&] {
        return (target.connected == 1 && initiator.connected == 1) || !initiator.closed.empty();
      });
      ASSERT_TRUE(initiator.closed.empty()) << round << ": " << initiator.closed[0].what();
      ASSERT_TRUE(target.connected == 1 && initiator.connected == 1) << round;
    }
    for (int n = 0; n < kTogether; ++n) {
      Pair& pair = *pairs[n];
      const Registered& ring = *memory[2 * n];
      const LocalPiece pieces[] = {memory[2 * n + 1]->piece(0, kSize)};
      for (std::uint32_t i = 0; i < 8; ++i) {
        pair.initiator->write(pieces, ring.remote().address, ring.remote().key, i, i);
        pair.target->send(as_message("half way"), i);
      }
      if (n % 2 == 0) pair.loop.run_for(1ms);
      if (n % 4 < 2) {
        pair.drop_target();
        // What the other side does of the loss while it still believes to be connected.
        if (n % 4 == 0) pair.initiator->write(pieces, 0, 0, 1U, 1);
        if (n % 4 == 1) pair.loop.run_for(1ms);
        pair.drop_initiator();
      } else {
        pair.drop_initiator();
        if (n % 4 == 3) pair.loop.run_for(1ms);
        pair.drop_target();
      }
    }
    // The first rounds may open what a provider keeps for itself.
    if (round == 1) before = open_files();
  }
  EXPECT_LE(open_files(), before);
}

TEST_P(TransportConformance, anything_may_be_destroyed_first) {
  const std::size_t before = open_files();
  for (int order = 0; order < 24; ++order) {
    Pair pair(options());
    ASSERT_TRUE(pair.connect());
    auto ring = std::make_unique<Registered>(*pair.target_domain, 4096, Access::remote);
    auto source = std::make_unique<Registered>(*pair.initiator_domain, 4096, Access::local);
    std::vector<std::function<void()>> steps = {
        [&] { pair.target_domain.reset(), pair.initiator_domain.reset(); },
        [&] { ring.reset(), source.reset(); },
        [&] { pair.drop_target(); },
        [&] { pair.drop_initiator(); },
    };
    int rest = order;
    while (!steps.empty()) {
      const auto pick = steps.begin() + rest % static_cast<int>(steps.size());
      rest /= static_cast<int>(steps.size());
      (*pick)();
      steps.erase(pick);
    }
  }
  EXPECT_LE(open_files(), before + 8);  // what a provider opens once for itself
}

TEST_P(TransportConformance, a_half_made_connection_may_be_destroyed) {
#if GRAINFABRIC_FINDS_LEAKS
  // tcp of libfabric 1.17 under rxm loses 376 bytes of its own with a connection that is cut while
  // it reads the request.
  std::optional<__lsan::ScopedDisabler> ignored;
  if (is("tcp;ofi_rxm")) ignored.emplace();
#endif
  for (int turns = 0; turns < 12; ++turns) {
    Pair pair(options());
    pair.listen();
    pair.dial();
    for (int i = 0; i < turns; ++i) {
      pair.initiator->progress();
      pair.target->progress();
    }
    if (turns % 2 == 0) pair.drop_target();
  }
}

TEST_P(TransportConformance, who_was_not_heard_leaves_nothing) {
  std::size_t before = 0;
  for (int round = 0; round < 20; ++round) {
    Pair pair(options());
    pair.listen();
    pair.dial();
    PollLoop initiator_loop;  // the target sees what it said when it ends, not before
    initiator_loop.add(*pair.initiator);
    if (round % 2 == 1) initiator_loop.run_for(5ms);  // else it did not even say what it wants
    pair.drop_target();
    pair.drop_initiator();
    if (round == 1) before = open_files();  // the first may open what a provider keeps for itself
  }
  EXPECT_LE(open_files(), before);
}

TEST_P(TransportConformance, an_idle_connection_sleeps_and_wakes_for_data) {
  if (is("shm")) GTEST_SKIP() << "shm of libfabric 1.17 has nothing to sleep on";
  Pair pair(options());
  ASSERT_TRUE(pair.connect());
  pair.loop.run_for(50ms);
  const int sleeps = pair.loop.sleeps();
  const double cpu = cpu_seconds();
  pair.loop.run_for(200ms);
  EXPECT_LE(pair.loop.sleeps() - sleeps, 4);
  EXPECT_LT(cpu_seconds() - cpu, 0.02);
  // Only the target sleeps: the initiator's post alone has to wake it.
  Registered ring(*pair.target_domain, 4096, Access::remote);
  ASSERT_EQ(
      pair.initiator->inject_write(as_message("wake"), ring.remote().address, ring.remote().key, 1),
      Posted::ok);
  PollLoop target_loop;
  target_loop.add(*pair.target);
  const auto start = TestClock::now();
  EXPECT_TRUE(target_loop.run_until([&] { return !pair.target_events.immediates.empty(); }));
  EXPECT_LT(TestClock::now() - start, 100ms);
}

TEST_P(TransportConformance, registering_no_memory_is_an_error) {
  const auto domain = Table::shared().open(options());
  EXPECT_THROW((void)domain->register_memory({}, Access::remote), Error);
}

INSTANTIATE_TEST_SUITE_P(Over, TransportConformance,
                         testing::Values("tcp", "tcp;ofi_rxm", "shm", "udp", "local"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), ';', '_');
                           return name;
                         });

// Skipped but in the guest of tests/vm.
INSTANTIATE_TEST_SUITE_P(Rdma, TransportConformance, testing::Values("verbs", "ofi:verbs"),
                         [](const auto& parameter) {
                           return std::string(parameter.param) == "verbs" ? "verbs" : "ofi_verbs";
                         });

TEST(OfiTransport, a_port_scanner_does_not_disturb_a_listener) {
  Pair pair(options_for("tcp"));
  pair.listen();
  sockaddr_in listener{};
  ASSERT_EQ(pair.target->address().bytes.size(), sizeof listener);
  std::memcpy(&listener, pair.target->address().bytes.data(), sizeof listener);
  for (const std::string& greeting :
       {std::string(), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(4000, '\xff')}) {
    const UniqueFd scanner(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(scanner.get(), reinterpret_cast<sockaddr*>(&listener), sizeof listener), 0);
    ASSERT_EQ(::send(scanner.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(greeting.size()));
    pair.loop.run_for(10ms);
  }
  EXPECT_TRUE(pair.target_events.closed.empty());
  pair.dial();
  EXPECT_TRUE(pair.loop.run_until(
      [&] { return pair.initiator_events.connected == 1 && pair.target_events.connected == 1; }));
}

/// With %scope; empty where this host has none.
std::string link_local_address() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET6) continue;
    const auto* address = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
    if (!IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) continue;
    char text[INET6_ADDRSTRLEN];
    if (::inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text) == nullptr) continue;
    return std::string(text) + "%" + entry->ifa_name;
  }
  return {};
}

TEST(OfiTransport, connections_run_over_ipv6) {
  for (const char* provider : {"tcp", "tcp;ofi_rxm"}) {
    for (const std::string& address : {std::string("::1"), link_local_address()}) {
      if (address.empty()) continue;
      Pair pair({provider, address});
      ASSERT_TRUE(pair.connect()) << provider << " " << address;
      EXPECT_EQ(pair.target->address().format, "FI_SOCKADDR_IN6");
    }
  }
}

TEST(OfiTransport, the_scope_of_a_link_local_peer_is_this_sides_own) {
  const std::string address = link_local_address();
  if (address.empty()) GTEST_SKIP() << "this host has no link-local address";
  Pair pair({"tcp", address});
  pair.listen();
  Address elsewhere = pair.target->address();
  sockaddr_in6 raw{};
  ASSERT_EQ(elsewhere.bytes.size(), sizeof raw);
  std::memcpy(&raw, elsewhere.bytes.data(), sizeof raw);
  raw.sin6_scope_id = 4321;  // the number that the peer's host has for its interface
  std::memcpy(elsewhere.bytes.data(), &raw, sizeof raw);
  pair.initiator = pair.initiator_domain->connect(elsewhere, pair.token, pair.initiator_events);
  pair.loop.add(*pair.initiator);
  EXPECT_TRUE(pair.loop.run_until([&] { return pair.initiator_events.connected == 1; }));
}

/// What this process's connections over TCP have as congestion control.
std::vector<std::string> congestion_controls() {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    std::array<char, 16> name{};
    size = name.size();
    if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0) {
      found.emplace_back(name.data());
    }
  }
  return found;
}

TEST(OfiTransport, tcp_within_the_host_is_not_paced) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    Pair pair({"tcp", address});
    ASSERT_TRUE(pair.connect()) << address;
    EXPECT_EQ(congestion_controls(), (std::vector<std::string>{"reno", "reno"})) << address;
  }
}

TEST(OfiTransport, tcp_between_two_addresses_of_loopback_is_not_paced) {
  Pair pair({"tcp", "127.0.0.1"});
  pair.initiator_domain = Table::shared().open({"tcp", "127.0.0.2"});
  ASSERT_TRUE(pair.connect());
  EXPECT_EQ(congestion_controls(), (std::vector<std::string>{"reno", "reno"}));
}

TEST(OfiTransport, an_initiator_without_a_local_address_reaches_either_ip_version) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    Pair pair({"tcp", address});
    pair.initiator_domain = Table::shared().open({"tcp", ""});
    EXPECT_TRUE(pair.connect()) << address;
  }
}

TEST(OfiTransport, without_a_local_address_no_wildcard_is_advertised) {
  for (const char* provider : {"tcp", "tcp;ofi_rxm"}) {
    Pair pair({provider, ""});
    pair.listen();
    const std::vector<std::byte>& bytes = pair.target->address().bytes;
    if (pair.target->address().format != "FI_SOCKADDR_IN") continue;
    sockaddr_in address{};
    ASSERT_EQ(bytes.size(), sizeof address);
    std::memcpy(&address, bytes.data(), sizeof address);
    EXPECT_NE(address.sin_addr.s_addr, htonl(INADDR_ANY)) << provider;
    EXPECT_NE(address.sin_port, 0) << provider;
  }
}

TEST(OfiTransport, a_local_address_of_no_interface_is_an_error) {
  for (const char* provider : {"tcp", "tcp;ofi_rxm"}) {
    try {
      const auto domain = Table::shared().open({provider, "203.0.113.7"});
      Recorder events;
      const auto endpoint = domain->accept(Token::random(), events);
      ADD_FAILURE() << provider << " took an address of nobody";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unknown_interface) << error.what();
    }
  }
}

TEST(OfiTransport, an_unknown_provider_is_an_error_that_lists_the_known) {
  try {
    const auto domain = Table::shared().open({"carrier-pigeon", ""});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unknown_provider);
    EXPECT_NE(std::string(error.what()).find("tcp"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace grainfabric::transport
