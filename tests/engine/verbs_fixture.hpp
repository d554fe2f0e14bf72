// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "base/log.hpp"
#include "transport_pair.hpp"

/// What the tests of provider "verbs" share. Where there is an RDMA device only (tests/vm).
namespace grainfabric::transport {

inline std::string address_from(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? "" : text;
}

inline DomainOptions with(Options options) {
  return {"verbs", address_from("FABRIC_TEST_ADDRESS"), std::move(options)};
}

class VerbsTransport : public testing::Test {
 protected:
  void SetUp() override {
    const auto providers = Table::shared().providers();
    if (std::find(providers.begin(), providers.end(), "verbs") == providers.end()) {
      GTEST_SKIP() << "no RDMA device on this host";
    }
    set_log_hook([this](LogLevel, const char*, const std::string& line) { log_ += line + "\n"; });
  }
  void TearDown() override { set_log_hook({}); }

  [[nodiscard]] bool logged(const std::string& words) const {
    return log_.find(words) != std::string::npos;
  }
  [[nodiscard]] const std::string& log_text() const { return log_; }

  static Error opening_error(const DomainOptions& options) {
    try {
      static_cast<void>(Table::shared().open(options));
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "it opened";
    return {ErrorCode::io, ""};
  }

 private:
  std::string log_;
};

/// Writes `count` slots of `size` bytes, each with an immediate; whether all arrived as they were,
/// each announced once, and not before it was there.
inline void expect_writes_arrive(Pair& pair, std::size_t count, std::size_t size) {
  Registered ring(*pair.target_domain, count * size, Access::remote);
  Registered source(*pair.initiator_domain, count * size, Access::local);
  source.fill(7);
  pair.target_events.immediates.clear();
  pair.initiator_events.completed.clear();
  std::size_t too_early = 0;
  pair.target_events.when_immediate = [&](std::uint32_t i) {
    const auto at = static_cast<std::ptrdiff_t>(i * size);
    const auto slot = ring.bytes.begin() + at;
    too_early +=
        !std::equal(slot, slot + static_cast<std::ptrdiff_t>(size), source.bytes.begin() + at);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const LocalPiece pieces[] = {source.piece(i * size, size / 3),
                                 source.piece(i * size + size / 3, size - size / 3)};
    ASSERT_EQ(pair.insist([&] {
      return pair.initiator->write(pieces, ring.remote().address + i * size, ring.remote().key,
                                   static_cast<std::uint32_t>(i), i);
    }),
              Posted::ok);
  }
  EXPECT_TRUE(pair.loop.run_until([&] {
    return pair.target_events.immediates.size() == count &&
           pair.initiator_events.completed.size() == count;
  }));
  pair.target_events.when_immediate = {};
  EXPECT_EQ(ring.bytes, source.bytes);
  EXPECT_EQ(too_early, 0U);
  std::vector<std::uint32_t> each(count);
  std::iota(each.begin(), each.end(), 0U);
  std::sort(pair.target_events.immediates.begin(), pair.target_events.immediates.end());
  EXPECT_EQ(pair.target_events.immediates, each);
}

}  // namespace grainfabric::transport
