// SPDX-License-Identifier: Apache-2.0
#include "tool/command.hpp"

#include <memory>
#include <utility>

namespace grainfabric::tool {
namespace {

struct FreeContext {
  void operator()(GOptionContext* context) const noexcept { g_option_context_free(context); }
};

}  // namespace

Command::Command(std::string usage, std::string summary, std::string description)
    : usage_(std::move(usage)),
      summary_(std::move(summary)),
      description_(std::move(description)) {}

void Command::add(const char* name, std::function<void(const std::string&)> take, const char* help,
                  const char* placeholder) {
  options_.push_back({name, help, placeholder, std::move(take)});
}

void Command::add(const char* name, bool& value, const char* help) {
  add(
      name, [&value](const std::string&) { value = true; }, help, "");
}

void Command::add(const char* name, std::string& value, const char* help, const char* placeholder) {
  add(
      name, [&value](const std::string& text) { value = text; }, help, placeholder);
}

void Command::add(const char* name, double& value, const char* help, const char* placeholder) {
  const auto take = [&value, name](const std::string& text) {
    char* end = nullptr;
    value = g_ascii_strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !(value > 0)) {
      throw UsageError("--" + std::string(name) + " takes a number above 0, not \"" + text + "\"");
    }
  };
  add(name, take, help, placeholder);
}

void Command::add(const char* name, std::uint64_t& value, std::uint64_t least, std::uint64_t most,
                  const char* help, const char* placeholder) {
  const auto take = [&value, name, least, most](const std::string& text) {
    guint64 number = 0;
    if (g_ascii_string_to_unsigned(text.c_str(), 10, least, most, &number, nullptr) != TRUE) {
      throw UsageError("--" + std::string(name) + " takes a number from " + std::to_string(least) +
                       " to " + std::to_string(most) + ", not \"" + text + "\"");
    }
    value = number;
  };
  add(name, take, help, placeholder);
}

std::vector<std::string> Command::parse(std::vector<std::string> arguments) const {
  const std::unique_ptr<GOptionContext, FreeContext> context(g_option_context_new(usage_.c_str()));
  g_option_context_set_summary(context.get(), summary_.c_str());
  g_option_context_set_description(context.get(), description_.c_str());
  std::vector<gchar*> texts(options_.size());
  std::vector<gboolean> flags(options_.size());
  std::vector<GOptionEntry> entries;
  for (std::size_t i = 0; i < options_.size(); ++i) {
    const Option& option = options_[i];
    const bool flag = option.placeholder.empty();
    entries.push_back({option.name.c_str(), 0, 0, flag ? G_OPTION_ARG_NONE : G_OPTION_ARG_STRING,
                       flag ? static_cast<gpointer>(&flags[i]) : static_cast<gpointer>(&texts[i]),
                       option.help.c_str(), flag ? nullptr : option.placeholder.c_str()});
  }
  entries.push_back({});
  g_option_context_add_main_entries(context.get(), entries.data(), nullptr);

  // GOption's form: a vector with the program's name, of which it frees nothing but drops much.
  std::vector<gchar*> vector;
  arguments.insert(arguments.begin(), g_get_prgname());
  for (std::string& argument : arguments) vector.push_back(argument.data());
  vector.push_back(nullptr);
  gchar** begin = vector.data();
  int count = static_cast<int>(arguments.size());
  GErrorSlot error;
  const bool parsed = g_option_context_parse(context.get(), &count, &begin, error.out()) == TRUE;
  std::vector<GlibPtr<char>> owners;
  for (gchar* text : texts) owners.emplace_back(text);
  if (!parsed) throw UsageError(error.message());
  for (std::size_t i = 0; i < options_.size(); ++i) {
    if (flags[i] == TRUE || texts[i] != nullptr) {
      options_[i].take(texts[i] != nullptr ? texts[i] : "");
    }
  }
  return {begin + 1, begin + count};
}

}  // namespace grainfabric::tool
