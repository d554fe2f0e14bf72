// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "pair.hpp"

namespace fabric::test {

/// The other side in a process of its own: peer.cpp, told by arguments what to be. It dies with the
/// test, and what its kind leaves behind when killed is removed.
class Child {
 public:
  explicit Child(const std::vector<std::string>& arguments);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The rest of the next line that begins with `word`; lines before it are gone. "?" if none
  /// comes.
  std::string wait_line(const std::string& word, std::chrono::milliseconds limit = kPatience);
  /// The next line, whatever it is; "?" if none comes.
  std::string next_line(std::chrono::milliseconds limit = kPatience);
  /// SIGSTOP: it does nothing any more, and its connections stay. thaw() lets it go on.
  void freeze() const;
  void thaw() const;
  /// SIGKILL, and waits for the end.
  void kill();
  /// Asks it to leave in order, and waits; whether it ended with 0.
  bool leave();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  void read_lines(int fd);

  pid_t pid_ = -1;
  bool ended_ = false;
  int to_child_ = -1;
  std::thread reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  bool closed_ = false;
};

/// Files of this process in /dev/shm.
std::size_t shm_files_of(pid_t pid);

}  // namespace fabric::test
