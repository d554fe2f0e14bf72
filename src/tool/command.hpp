// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/glib_ptr.hpp"

namespace grainfabric::tool {

/// The command line is wrong: exit code 2.
class UsageError : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// The options of one command, parsed by GOption into the variables given here, which keep what
/// they have (the default) where an option is absent. --help ends the program.
class Command {
 public:
  /// `usage`: what follows the program's name; `summary` and `description` frame the options.
  Command(std::string usage, std::string summary, std::string description);

  void add(const char* name, bool& value, const char* help);
  void add(const char* name, std::string& value, const char* help, const char* placeholder);
  void add(const char* name, double& value, const char* help, const char* placeholder);
  /// A number within [least, most].
  void add(const char* name, std::uint64_t& value, std::uint64_t least, std::uint64_t most,
           const char* help, const char* placeholder);
  /// Throws UsageError from `take` where the text makes no sense.
  void add(const char* name, std::function<void(const std::string&)> take, const char* help,
           const char* placeholder);

  /// Takes the options out of `arguments`, and gives the rest. Throws UsageError.
  std::vector<std::string> parse(std::vector<std::string> arguments) const;

 private:
  struct Option {
    std::string name;
    std::string help;
    std::string placeholder;                       // empty: takes no value
    std::function<void(const std::string&)> take;  // with the value
  };
  std::string usage_;
  std::string summary_;
  std::string description_;
  std::vector<Option> options_;
};

}  // namespace grainfabric::tool
