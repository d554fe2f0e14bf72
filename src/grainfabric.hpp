// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The engine of grainfabric for programs without GStreamer: #include <grainfabric.hpp> with the
/// flags of `pkg-config --cflags --libs grainfabric-1.0`. C++20.
///
/// An Initiator writes grains into the memory of a Target. Both run on an event loop thread of the
/// library, tell of peers and errors by the interfaces given to them, and throw Error where a call
/// cannot do what it says. Start at session/initiator.hpp and session/target.hpp; what else is
/// installed is what these two are declared with.

#include "base/error.hpp"         // IWYU pragma: export
#include "base/log.hpp"           // IWYU pragma: export
#include "session/initiator.hpp"  // IWYU pragma: export
#include "session/target.hpp"     // IWYU pragma: export
