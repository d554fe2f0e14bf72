// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tool/bench/line.hpp"
#include "tool/bench/load.hpp"

namespace grainfabric::tool {

struct ConversationOptions {
  std::string provider = "auto";
  std::string interface;            ///< For the data; empty: that of the control connection.
  std::vector<LoadOptions> rounds;  ///< depth and piece_size 0: see the limits.
};

/// One round with what both sides measured.
struct Outcome {
  LoadOptions load;
  Measured here;
  Result there;
};

/// Who hears of a Conversation, on the loop thread.
class ConversationEvents {
 public:
  virtual void on_welcome(const std::string& peer, const Welcome& welcome) = 0;
  virtual void on_progress(const LoadOptions& load, const Measured& so_far) = 0;
  virtual void on_outcome(const Outcome& outcome) = 0;

 protected:
  ~ConversationEvents() = default;
};

/// The client's side of a benchmark, from HELLO to BYE. Loop thread only; every step of it is
/// bounded in time.
class Conversation final : public LineEvents, public Load::Events {
 public:
  Conversation(EventLoop& loop, GObjectPtr<GSocketConnection> connection,
               ConversationOptions options, ConversationEvents& events);

  /// Ready when it is over; holds the Error that ended it. Ask once.
  std::future<void> finished() { return finished_.get_future(); }

 private:
  void on_line_message(Type type, GVariant* fields) override;
  void on_line_ended(const Error& reason) override;
  void on_load_warm() override;
  void on_load_finished() override;
  void on_load_failed(const Error& reason) override;

  void expect(const char* message, std::chrono::milliseconds within);
  void next_round();
  void take(const Result& result);
  void finish(std::exception_ptr error);
  void fail(const Error& reason);

  EventLoop& loop_;
  const ConversationOptions options_;
  ConversationEvents& events_;
  std::promise<void> finished_;
  bool over_ = false;
  bool leaving_ = false;
  std::size_t next_ = 0;  // of options_.rounds
  LoadOptions load_options_;
  std::unique_ptr<transport::Domain> domain_;
  std::unique_ptr<Load> load_;
  EventLoop::Source deadline_;
  EventLoop::Source progress_;
  Line line_;
};

}  // namespace grainfabric::tool
