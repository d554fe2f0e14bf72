// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/export.hpp"

/// Options of a transport: for what no two hosts agree on (queue depths, retries, devices), and
/// what a user of the elements should not have to see. From a configuration file in the format of
/// GKeyFile with a group for each provider,
///
///     [verbs]
///     max-wr=512
///     traffic-class=106
///
/// found at $GRAINFABRIC_CONFIG, else $XDG_CONFIG_HOME/grainfabric/transport.conf, else
/// /etc/grainfabric/transport.conf: the first that there is. Any thread.
namespace grainfabric::transport {

using Options = std::map<std::string, std::string>;
/// By provider.
using ProviderOptions = std::map<std::string, Options>;

/// Those of one provider; none where it is not among them.
inline Options options_of(const ProviderOptions& all, const std::string& provider) {
  const auto found = all.find(provider);
  return found != all.end() ? found->second : Options();
}

/// What the file says for `provider`, with `given` by the application in front of it. Throws
/// Error(invalid_argument) for a file that cannot be read.
GRAINFABRIC_API Options configured_options(const std::string& provider, const Options& given);

/// Takes options of one provider out one by one, and refuses what is left over.
class GRAINFABRIC_API OptionReader {
 public:
  OptionReader(std::string provider, Options options);

  /// The text, or `fallback`.
  std::string text(const std::string& key, const std::string& fallback = {});
  /// A whole number from `least` to `most`, or nothing if it is not set. Throws
  /// Error(invalid_argument) for anything else.
  std::optional<std::int64_t> number(const std::string& key, std::int64_t least, std::int64_t most);
  /// "piece-size", see Capabilities::piece_size: bytes, 4096 to 2^30; `fallback` if it is not set.
  std::size_t piece_size(std::size_t fallback);
  /// Throws Error(invalid_argument), with the keys that were asked for, if others are set.
  void finish() const;

 private:
  std::string provider_;
  Options options_;  // not asked for yet
  std::vector<std::string> known_;
};

}  // namespace grainfabric::transport
