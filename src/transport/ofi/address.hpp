// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fabric.h>

#include <cstddef>
#include <span>
#include <string>

#include "transport/transport.hpp"

/// Endpoint addresses as libfabric has them and as they travel: the name of the format
/// (fi_tostr of fi_info::addr_format) and the raw bytes. Any thread.
namespace grainfabric::transport::ofi {

/// The Address of what `fid` (an endpoint or passive endpoint) is called. Throws Error:
/// invalid_argument for a wildcard, which no peer could connect to.
Address name_of(fid_t fid, std::uint32_t addr_format, const std::string& device);

/// Checks what a peer gave as its address against the format that this side uses, and adapts it to
/// this host: a link-local IPv6 address gets the scope of `own`, since the peer's number of its
/// interface says nothing here. `own` may be empty (any address of the host).
/// Throws Error: protocol for bytes that are no address, invalid_argument for one that cannot be
/// reached from `own`.
Address validated(const Address& peer, const std::string& own_format,
                  std::span<const std::byte> own);

/// "10.0.0.1:4242", "[fe80::1%eth0]:4242", the text of a string address, else hexadecimal digits.
std::string describe(const Address& address);

/// The format's name as it travels.
std::string format_name(std::uint32_t addr_format, const void* address, std::size_t size);

}  // namespace grainfabric::transport::ofi
