// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/settings.hpp"

#include <bit>

#include "base/error.hpp"
#include "transport/verbs/limits.hpp"

namespace grainfabric::transport::verbs {
namespace {

constexpr std::int64_t kMaxQueue = 1 << 20;  // beyond any device's
constexpr std::int64_t kMaxSlice = 1 << 30;  // RC messages end at 2 GiB

}  // namespace

Settings Settings::parse(const Options& options) {
  OptionReader reader("verbs", options);
  Settings settings;
  const auto take = [&](const char* key, int* into, std::int64_t least, std::int64_t most) {
    if (const auto value = reader.number(key, least, most)) *into = static_cast<int>(*value);
  };
  settings.device = reader.text("device");
  take("port", &settings.port, 1, 255);
  if (const auto index = reader.number("gid-index", 0, 255)) {
    settings.gid_index = static_cast<int>(*index);
  }
  take("mtu", &settings.mtu, 256, 4096);
  take("queue-pairs", &settings.queue_pairs, 1, kMaxQueuePairs);
  take("cqs-per-device", &settings.cqs_per_device, 1, settings.queue_pairs);
  take("max-cqe", &settings.max_cqe, 16, kMaxQueue);
  take("max-wr", &settings.max_wr, 8, kMaxQueue);
  take("max-sge", &settings.max_sge, 1, 64);
  take("inline-size", &settings.inline_size, 0, 4096);
  if (const auto size = reader.number("slice-size", 4096, kMaxSlice)) {
    settings.slice_size = static_cast<std::uint32_t>(*size);
  }
  take("retry-count", &settings.retry_count, 0, 7);
  take("ack-timeout", &settings.ack_timeout, 1, 31);
  take("rnr-timer", &settings.rnr_timer, 0, 31);
  take("rnr-retry", &settings.rnr_retry, 0, 6);
  if (const auto value = reader.number("traffic-class", 0, 255)) {
    settings.traffic_class = static_cast<int>(*value);
  }
  reader.finish();
  if (!std::has_single_bit(static_cast<unsigned>(settings.mtu))) {
    throw Error(ErrorCode::invalid_argument,
                "Option mtu=" + std::to_string(settings.mtu) +
                    " of verbs is none of 256, 512, 1024, 2048 and 4096");
  }
  return settings;
}

}  // namespace grainfabric::transport::verbs
