// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace grainfabric {

/// The transports that an initiator offers: what its user asks for, less those that failed lately.
/// One that could not be opened, registered with or connected is passed over for kTransportRest and
/// offered again after that, so that a cable that was pulled is used again once it is back; not
/// sooner, since what comes back often goes again. When all have failed, all are offered again.
/// Loop thread only.
class Offers {
 public:
  /// `wanted` as transport::offers() has it.
  explicit Offers(std::string wanted) : wanted_(std::move(wanted)) {}

  /// Best first.
  [[nodiscard]] std::vector<std::string> current();
  /// `provider` failed. Returns whether another is left to try.
  bool pass_over(const std::string& provider, const Error& reason);
  /// "; not NAME: why" for each that is passed over, for messages.
  [[nodiscard]] std::string passed_over() const;

 private:
  struct Failed {
    std::string provider;
    std::string why;
    std::chrono::steady_clock::time_point until;
  };

  const std::string wanted_;
  std::vector<Failed> failed_;
};

}  // namespace grainfabric
