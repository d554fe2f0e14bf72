// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <glib.h>

#include <memory>
#include <mutex>
#include <utility>

namespace grainfabric {
namespace {

std::mutex hook_mutex;
std::shared_ptr<const LogHook> hook;  // shared, so that a line may outlast its replacement

GLogLevelFlags glib_level(LogLevel level) {
  switch (level) {
    case LogLevel::error:
    case LogLevel::warning:
      return G_LOG_LEVEL_WARNING;  // G_LOG_LEVEL_ERROR would end the process
    case LogLevel::info:
      return G_LOG_LEVEL_INFO;
    case LogLevel::debug:
      break;
  }
  return G_LOG_LEVEL_DEBUG;
}

}  // namespace

void set_log_hook(LogHook replacement) {
  auto shared = replacement ? std::make_shared<const LogHook>(std::move(replacement)) : nullptr;
  const std::lock_guard lock(hook_mutex);
  hook = std::move(shared);
}

void log(LogLevel level, const char* category, const std::string& line) {
  std::shared_ptr<const LogHook> current;
  {
    const std::lock_guard lock(hook_mutex);
    current = hook;
  }
  if (current) {
    (*current)(level, category, line);
  } else {
    g_log("grainfabric", glib_level(level), "%s: %s", category, line.c_str());
  }
}

}  // namespace grainfabric
