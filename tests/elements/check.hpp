// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/check/gstcheck.h>

// A macro of that name breaks std::ios::fail(); fail_unless() and fail_if() do not need it.
#undef fail
