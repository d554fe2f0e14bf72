// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/base/gstbasesink.h>

G_BEGIN_DECLS

#define GST_TYPE_FABRIC_SINK (gst_fabric_sink_get_type())
G_DECLARE_FINAL_TYPE(GstFabricSink, gst_fabric_sink, GST, FABRIC_SINK, GstBaseSink)
GST_ELEMENT_REGISTER_DECLARE(fabricsink)

G_END_DECLS
