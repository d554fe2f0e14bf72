// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <vector>

#include "check.hpp"
#include "gstptr.hpp"

/// A structure with a field of every kind that travels.
fabric::StructurePtr sample_structure(const char* name);
/// A 64x32 I420 buffer with a meta of every kind that travels, some twice.
fabric::BufferPtr sample_buffer();
/// Two channels of 48 planar samples, the second channel first in memory.
fabric::BufferPtr sample_audio_buffer();
/// One event of every kind that travels.
std::vector<fabric::EventPtr> sample_events();

Suite* hostile_suite();
