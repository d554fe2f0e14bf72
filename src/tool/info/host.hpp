// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace grainfabric::tool {

/// A network interface; MTU 0 and an empty state where the kernel does not say.
struct Interface {
  std::string name;
  std::string state;  ///< As /sys/class/net has it: "up", "down", "unknown" (loopback).
  std::uint64_t mtu = 0;
  std::vector<std::string> addresses;
};

/// A port of a device in /sys/class/infiniband, whatever libraries make of it.
struct RdmaPort {
  std::string device;
  std::string port;
  std::string state;      ///< "4: ACTIVE".
  std::string link;       ///< "Ethernet", "InfiniBand".
  std::string interface;  ///< Of its first GID; may be empty.
};

/// What a transport depends on outside itself.
struct Host {
  std::string name;
  std::string kernel;
  std::string machine;
  std::string glib;
  std::optional<std::uint64_t> locked_memory_limit;  ///< Bytes; nothing: unlimited.
  std::uint64_t available_memory = 0;
  std::vector<Interface> interfaces;
  std::vector<RdmaPort> rdma_ports;
};

Host look_at_host();

}  // namespace grainfabric::tool
