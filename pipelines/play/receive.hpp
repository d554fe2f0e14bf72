// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "run.hpp"

namespace play {

/// Receives each stream by a fabricsrc of its own.
class Receive final : public Run {
 public:
  explicit Receive(const Options& options);

 private:
  void on_ready() override;
  void on_interrupt() override;
};

}  // namespace play
