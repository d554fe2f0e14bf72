// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Marks what libgrainfabric-1.0 offers to others; everything else stays hidden.
#define GRAINFABRIC_API __attribute__((visibility("default")))
