// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tool/bench/conversation.hpp"

namespace grainfabric::tool {

/// Shows a benchmark: a row of a table for each size as soon as it is known, and progress on a
/// terminal; or all of it as one JSON document at the end.
class Report final : public ConversationEvents {
 public:
  Report(bool json, bool quiet);

  void on_welcome(const std::string& peer, const Welcome& welcome) override;
  void on_progress(const LoadOptions& load, const Measured& so_far) override;
  void on_outcome(const Outcome& outcome) override;
  /// After the last outcome; `error` is what ended it before its time, or empty.
  void finish(const std::string& error);

 private:
  void clear_progress();
  void print_row(const Outcome& outcome);

  const bool json_;
  const bool shows_progress_;
  bool progress_shown_ = false;
  std::string peer_;
  Welcome welcome_;
  std::vector<Outcome> outcomes_;
};

}  // namespace grainfabric::tool
