// SPDX-License-Identifier: Apache-2.0
#include "child.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>

#include "built.hpp"

namespace fabric::test {
namespace {

/// libfabric's shm provider names its files PID:…
std::vector<std::filesystem::path> shm_files(pid_t pid) {
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  const std::string prefix = std::to_string(pid) + ":";
  for (const auto& file : std::filesystem::directory_iterator("/dev/shm", ignored)) {
    if (file.path().filename().string().rfind(prefix, 0) == 0) found.push_back(file.path());
  }
  return found;
}

}  // namespace

std::size_t shm_files_of(pid_t pid) {
  return shm_files(pid).size();
}

Child::Child(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{grainfabric::test::built("fabric_test_peer")};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  fail_unless(::pipe2(in.data(), O_CLOEXEC) == 0 && ::pipe2(out.data(), O_CLOEXEC) == 0);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  fail_unless(pid_ > 0);
  to_child_ = in[1];
  reader_ = std::thread([this, fd = out[0]] { read_lines(fd); });
}

Child::~Child() {
  kill();
  reader_.join();
  std::error_code ignored;
  for (const auto& file : shm_files(pid_)) std::filesystem::remove(file, ignored);
}

void Child::read_lines(int fd) {
  FILE* stream = ::fdopen(fd, "r");
  char* line = nullptr;
  std::size_t space = 0;
  for (;;) {
    const ssize_t length = ::getline(&line, &space, stream);
    const std::lock_guard lock(mutex_);
    closed_ = length < 0;
    if (length > 0) lines_.emplace_back(line, static_cast<std::size_t>(length - 1));
    changed_.notify_all();
    if (closed_) break;
  }
  ::free(line);
  ::fclose(stream);
}

std::string Child::wait_line(const std::string& word, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const std::string line = next_line(std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now()));
    if (line == "?") return line;
    if (line == word) return {};
    if (line.rfind(word + " ", 0) == 0) return line.substr(word.size() + 1);
  }
}

std::string Child::next_line(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, limit, [&] { return closed_ || !lines_.empty(); });
  if (lines_.empty()) return "?";
  const std::string line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

void Child::freeze() const {
  ::kill(pid_, SIGSTOP);
}

void Child::thaw() const {
  ::kill(pid_, SIGCONT);
}

void Child::kill() {
  if (ended_) return;
  ended_ = true;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::close(to_child_);
}

bool Child::leave() {
  if (ended_) return false;
  ::close(to_child_);  // the end of its input is the sign
  to_child_ = -1;
  int status = -1;
  const bool left = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
  if (!left) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
  }
  ended_ = true;
  return left && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace fabric::test
