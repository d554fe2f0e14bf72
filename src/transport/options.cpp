// SPDX-License-Identifier: Apache-2.0
#include "transport/options.hpp"

#include <glib.h>

#include <charconv>
#include <memory>
#include <utility>

#include "base/error.hpp"

namespace grainfabric::transport {
namespace {

/// The file to read; empty if there is none.
std::string configuration_file() {
  if (const char* named = g_getenv("GRAINFABRIC_CONFIG"); named != nullptr && *named != '\0') {
    return named;
  }
  for (const std::string folder : {g_get_user_config_dir(), "/etc"}) {
    std::string path = folder + "/grainfabric/transport.conf";
    if (g_file_test(path.c_str(), G_FILE_TEST_EXISTS) == TRUE) return path;
  }
  return {};
}

}  // namespace

Options configured_options(const std::string& provider, const Options& given) {
  Options options = given;  // which come first: what is there already stays
  const std::string path = configuration_file();
  if (path.empty()) return options;
  const std::unique_ptr<GKeyFile, decltype(&g_key_file_unref)> file(g_key_file_new(),
                                                                    &g_key_file_unref);
  GError* error = nullptr;
  if (g_key_file_load_from_file(file.get(), path.c_str(), G_KEY_FILE_NONE, &error) != TRUE) {
    const std::unique_ptr<GError, decltype(&g_error_free)> owner(error, &g_error_free);
    throw Error(ErrorCode::invalid_argument,
                "Cannot read the configuration " + path + ": " + error->message,
                "Correct it, or name another file in GRAINFABRIC_CONFIG.");
  }
  const std::unique_ptr<gchar*, decltype(&g_strfreev)> keys(
      g_key_file_get_keys(file.get(), provider.c_str(), nullptr, nullptr), &g_strfreev);
  for (gchar** key = keys.get(); key != nullptr && *key != nullptr; ++key) {
    const std::unique_ptr<gchar, decltype(&g_free)> value(
        g_key_file_get_value(file.get(), provider.c_str(), *key, nullptr), &g_free);
    if (value) options.emplace(*key, value.get());
  }
  return options;
}

OptionReader::OptionReader(std::string provider, Options options)
    : provider_(std::move(provider)), options_(std::move(options)) {}

std::string OptionReader::text(const std::string& key, const std::string& fallback) {
  known_.push_back(key);
  const auto node = options_.extract(key);
  return node ? node.mapped() : fallback;
}

std::optional<std::int64_t> OptionReader::number(const std::string& key, std::int64_t least,
                                                 std::int64_t most) {
  known_.push_back(key);
  const auto node = options_.extract(key);
  if (!node) return std::nullopt;
  const std::string& digits = node.mapped();
  const char* end = digits.data() + digits.size();
  std::int64_t value = 0;
  const auto [stop, failure] = std::from_chars(digits.data(), end, value);
  if (failure != std::errc() || stop != end || value < least || value > most) {
    throw Error(ErrorCode::invalid_argument, "Option " + key + "=" + digits + " of " + provider_ +
                                                 " is not a whole number from " +
                                                 std::to_string(least) + " to " +
                                                 std::to_string(most));
  }
  return value;
}

std::size_t OptionReader::piece_size(std::size_t fallback) {
  constexpr std::int64_t kLeast = 4096;
  constexpr std::int64_t kMost = std::int64_t{1} << 30U;
  const auto size = number("piece-size", kLeast, kMost);
  return size ? static_cast<std::size_t>(*size) : fallback;
}

void OptionReader::finish() const {
  if (options_.empty()) return;
  std::string known;
  for (const std::string& key : known_) known += (known.empty() ? "" : ", ") + key;
  if (known.empty()) known = "none";
  throw Error(ErrorCode::invalid_argument,
              "Provider \"" + provider_ + "\" has no option \"" + options_.begin()->first + "\"",
              "It has: " + known + ".");
}

}  // namespace grainfabric::transport
