// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "base/fd.hpp"
#include "built.hpp"
#include "patience.hpp"

namespace grainfabric::test {

/// A session_peer, and what it says.
class Child {
 public:
  Child(const std::string& role, std::uint16_t port, const std::string& provider) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    out_ = UniqueFd(ends[0]);
    const UniqueFd in(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in.get(), STDOUT_FILENO);
    const std::string program = built("session_peer");
    std::string arguments[] = {program, role, std::to_string(port), provider};
    char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                    arguments[3].data(), nullptr};
    const int result = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result != 0) throw std::runtime_error("cannot start " + program);
  }
  ~Child() { kill(); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    remove_shared_memory();
    pid_ = -1;
  }
  /// Returns when it does nothing any more.
  void freeze() {
    ::kill(pid_, SIGSTOP);
    ::waitpid(pid_, nullptr, WUNTRACED);
  }
  void thaw() { ::kill(pid_, SIGCONT); }

  /// The next line, without waiting for more than `limit`; "" when there is none.
  std::string line(std::chrono::milliseconds limit = kPatience) {
    for (;;) {
      const std::size_t end = said_.find('\n');
      if (end != std::string::npos) {
        std::string one = said_.substr(0, end);
        said_.erase(0, end + 1);
        return one;
      }
      pollfd polled{out_.get(), POLLIN, 0};
      char part[4096];
      ssize_t got = 0;
      if (::poll(&polled, 1, static_cast<int>(limit.count())) != 1 ||
          (got = ::read(out_.get(), part, sizeof part)) <= 0) {
        return {};
      }
      said_.append(part, static_cast<std::size_t>(got));
    }
  }

 private:
  /// What libfabric's shm leaves when its process is killed; its names begin with the pid.
  void remove_shared_memory() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored)) {
      if (entry.path().filename().string().rfind(std::to_string(pid_) + ":", 0) == 0) {
        std::filesystem::remove(entry.path(), ignored);
      }
    }
  }

  pid_t pid_ = -1;
  UniqueFd out_;
  std::string said_;
};

}  // namespace grainfabric::test
