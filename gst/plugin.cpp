// SPDX-License-Identifier: Apache-2.0
#include <gst/gst.h>

#include "base/log.hpp"
#include "gstfabricsettings.hpp"
#include "gstfabricsink.hpp"
#include "gstfabricsrc.hpp"

GST_DEBUG_CATEGORY(gst_fabric_debug);

namespace {

GstDebugLevel level_of(grainfabric::LogLevel level) {
  switch (level) {
    case grainfabric::LogLevel::error:
      return GST_LEVEL_ERROR;
    case grainfabric::LogLevel::warning:
      return GST_LEVEL_WARNING;
    case grainfabric::LogLevel::info:
      return GST_LEVEL_INFO;
    case grainfabric::LogLevel::debug:
      break;
  }
  return GST_LEVEL_DEBUG;
}

gboolean plugin_init(GstPlugin* plugin) {
  GST_DEBUG_CATEGORY_INIT(gst_fabric_debug, "fabric", 0, "grainfabric elements and engine");
  grainfabric::set_log_hook([](grainfabric::LogLevel level, const char* category,
                               const std::string& line) {
    gst_debug_log(gst_fabric_debug, level_of(level), category, "", 0, nullptr, "%s", line.c_str());
  });
  return GST_ELEMENT_REGISTER(fabricsink, plugin) && GST_ELEMENT_REGISTER(fabricsrc, plugin);
}

}  // namespace

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, fabric,
                  "Moves media between hosts by RDMA, without a copy", plugin_init, VERSION,
                  "Apache 2.0", "grainfabric", "grainfabric")
