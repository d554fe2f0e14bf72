// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/export.hpp"

namespace grainfabric {

enum class LogLevel { error, warning, info, debug };

/// One line of the engine's log. Called on any thread, with no lock of the engine held.
using LogHook = std::function<void(LogLevel, const char* category, const std::string& line)>;

/// Replaces where the log goes (the plugin sends it to a GstDebugCategory). Without a hook, and
/// with an empty one, lines go to GLib's structured log under the domain "grainfabric".
GRAINFABRIC_API void set_log_hook(LogHook hook);

/// `category` is the folder the line comes from: "ofi", "session", …
GRAINFABRIC_API void log(LogLevel level, const char* category, const std::string& line);

}  // namespace grainfabric
