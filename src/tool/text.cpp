// SPDX-License-Identifier: Apache-2.0
#include "tool/text.hpp"

#include <algorithm>
#include <cstdarg>
#include <sstream>

#include "tool/bench/limits.hpp"
#include "tool/command.hpp"

namespace grainfabric::tool {
namespace {

struct Unit {
  char letter;
  const char* name;
  unsigned shift;
};
constexpr Unit kUnits[] = {{'g', "GiB", 30}, {'m', "MiB", 20}, {'k', "KiB", 10}};

}  // namespace

std::string software() {
  return "grainfabric " GRAINFABRIC_VERSION;
}

std::uint64_t parse_size(const std::string& text) {
  std::string digits = text;
  unsigned shift = 0;
  for (const Unit& unit : kUnits) {
    if (text.empty() || g_ascii_tolower(text.back()) != unit.letter) continue;
    digits.pop_back();
    shift = unit.shift;
  }
  guint64 number = 0;
  if (g_ascii_string_to_unsigned(digits.c_str(), 10, 1, kMaxSize >> shift, &number, nullptr) !=
      TRUE) {
    throw UsageError("\"" + text + "\" is no size from 1 to " + size_text(kMaxSize) +
                     ": write 4096, 4k, 1m");
  }
  return number << shift;
}

std::vector<std::uint64_t> parse_sizes(const std::string& text) {
  std::vector<std::uint64_t> sizes;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) sizes.push_back(parse_size(part));
  if (sizes.empty()) throw UsageError("--sizes is empty");
  return sizes;
}

std::string size_text(std::uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    const std::uint64_t whole = bytes >> unit.shift;
    if (whole > 0 && whole < 1024 && whole << unit.shift == bytes)
      return std::to_string(whole) + " " + unit.name;
  }
  return std::to_string(bytes) + " B";
}

std::string format(const char* pattern, ...) {
  std::va_list arguments;
  va_start(arguments, pattern);
  const GlibPtr<char> text(g_strdup_vprintf(pattern, arguments));
  va_end(arguments);
  return text.get();
}

void print_line(std::FILE* file, const std::string& line) {
  std::fprintf(file, "%s\n", line.c_str());
  std::fflush(file);
}

void TextTable::print(const std::string& indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line = indent;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    print_line(stdout, line);
  }
}

}  // namespace grainfabric::tool
