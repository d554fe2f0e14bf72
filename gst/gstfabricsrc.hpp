// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_FABRIC_SRC (gst_fabric_src_get_type())
G_DECLARE_FINAL_TYPE(GstFabricSrc, gst_fabric_src, GST, FABRIC_SRC, GstElement)
GST_ELEMENT_REGISTER_DECLARE(fabricsrc)

G_END_DECLS
