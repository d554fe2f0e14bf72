// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

/// How the tool reads and writes what people see.
namespace grainfabric::tool {

/// "grainfabric 0.1.0".
std::string software();

/// 4096, "4k", "64m", "1g" (powers of 1024). Throws UsageError.
std::uint64_t parse_size(const std::string& text);
/// "4k,64k,5529600".
std::vector<std::uint64_t> parse_sizes(const std::string& text);
/// "4 KiB", "5529600 B": exact.
std::string size_text(std::uint64_t bytes);

/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

/// A line, at once even into a pipe.
void print_line(std::FILE* file, const std::string& line);

/// Rows in columns as wide as they need to be, the first row a headline.
class TextTable {
 public:
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// Each line begins with `indent`.
  void print(const std::string& indent = {}) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace grainfabric::tool
