// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "transport/transport.hpp"

namespace grainfabric::transport::udp {

/// The transport over plain UDP sockets, provider "udp": part of the engine, needs no library and
/// no device, and works wherever datagrams pass.
std::unique_ptr<Transport> make_transport();

}  // namespace grainfabric::transport::udp
