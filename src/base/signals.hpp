// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <array>

namespace grainfabric {

/// Puts the process's signal handlers back, when it ends, to what they were when it began. For
/// the loading of libraries that install handlers of their own: libfabric brings libinfinipath,
/// which takes SIGINT and SIGTERM away from the application and leaves a file in the working
/// directory when they come.
class SignalHandlersKept {
 public:
  SignalHandlersKept() noexcept {
    for (std::size_t i = 1; i < before_.size(); ++i) {
      known_[i] = ::sigaction(static_cast<int>(i), nullptr, &before_[i]) == 0;
    }
  }
  ~SignalHandlersKept() {
    for (std::size_t i = 1; i < before_.size(); ++i) {
      struct sigaction now {};
      if (!known_[i] || ::sigaction(static_cast<int>(i), nullptr, &now) != 0) continue;
      if (now.sa_handler != before_[i].sa_handler) {
        ::sigaction(static_cast<int>(i), &before_[i], nullptr);
      }
    }
  }
  SignalHandlersKept(const SignalHandlersKept&) = delete;
  SignalHandlersKept& operator=(const SignalHandlersKept&) = delete;

 private:
  std::array<struct sigaction, 32> before_{};  // the classic ones; nobody takes real-time signals
  std::array<bool, 32> known_{};
};

}  // namespace grainfabric
