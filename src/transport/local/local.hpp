// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/export.hpp"
#include "transport/transport.hpp"

/// The transport between processes of one host (provider "local"): memory is handed over, not
/// written. A Unix socket proves that both are on the same host, a queue in shared memory carries
/// what is small. Option: `socket-directory`, where containers or network namespaces that share a
/// directory meet; without it the sockets are abstract, and of one network namespace.
namespace grainfabric::transport::local {

inline constexpr const char* kProvider = "local";

std::unique_ptr<Transport> make_transport();

/// What two sides compare before they try: the same for processes that this transport can connect,
/// and of no use to anybody else (a digest). A hint only, which spares a failed attempt; the proof
/// is the socket. With this host's options for "local", `given` by the application in front of
/// them.
GRAINFABRIC_API std::string same_host_hint(const Options& given);

}  // namespace grainfabric::transport::local
