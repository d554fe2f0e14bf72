// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

/// What is known of libfabric's providers by name, beyond what they say of themselves. Each line
/// was seen on libfabric 1.17 and can go when a later one tells the truth. Any thread.
namespace grainfabric::transport::ofi {

/// Providers that `provider=` takes by libfabric's name, RDMA first. The others are "ofi:NAME", so
/// that "verbs" and "udp" can be transports of our own.
inline constexpr std::string_view kPlainNames[] = {"efa", "tcp", "tcp;ofi_rxm", "shm"};
inline constexpr std::string_view kFamily = "ofi:";

/// What the engine calls libfabric's `provider`, and back.
inline std::string public_name(std::string_view provider) {
  const bool plain =
      std::find(std::begin(kPlainNames), std::end(kPlainNames), provider) != std::end(kPlainNames);
  return std::string(plain ? "" : kFamily) + std::string(provider);
}
inline std::string libfabric_name(std::string_view name) {
  return std::string(name.starts_with(kFamily) ? name.substr(kFamily.size()) : name);
}

/// Whether the completion queue's descriptor really sleeps when idle and wakes for data.
/// False: net's descriptor stays readable and burns a core, sockets' threads spin whatever one
/// does, shm, efa and udp;ofi_rxd have none at all.
constexpr bool sleeps_on_descriptor(std::string_view provider) {
  return provider == "tcp" || provider == "tcp;ofi_rxm" || provider == "verbs" ||
         provider == "verbs;ofi_rxm";
}

/// Whether to ask for write-after-write order. Not of efa, which has none and would match nothing.
/// Of shm for another reason: without the demand it writes by virtual address into the target's
/// process and looks at neither key nor bounds; with it the target checks both and copies itself.
constexpr bool is_asked_for_order(std::string_view provider) {
  return provider != "efa";
}

/// Whether a promise of order is believed. Not shm's: where process_vm_readv is forbidden (a
/// container without ptrace rights) it copies a long write in steps that a short one overtakes.
constexpr bool keeps_order(std::string_view provider) {
  return provider != "efa" && provider != "shm";
}

/// Whether immediate data must travel as a message behind its write. rxm of libfabric 1.17 ends the
/// process when a connection closes while a write with immediate data is coming in (it looks for
/// the posted receive of the cancelled completion, which has none); a write without is no
/// completion at the target, and the cut of a message is handled.
constexpr bool announces_by_message(std::string_view provider) {
  return provider.ends_with(";ofi_rxm");
}

/// Whether endpoints of one process reach into each other's memory without holding on to it, so
/// that closing one pulls the ground from under its peer (see ProcessPeers).
constexpr bool shares_memory_in_process(std::string_view provider) {
  return provider == "shm";
}

/// Whether endpoints of two processes share locks, which one that is killed never releases (see
/// BoundedLocks).
constexpr bool shares_locks(std::string_view provider) {
  return provider == "shm";
}

/// Whether endpoints have addresses that a local IP address chooses.
constexpr bool has_ip_address(std::string_view provider) {
  return provider != "shm" && provider != "efa";
}

/// Whether to use its connections (FI_EP_MSG) where it has them: those tell when a peer goes.
/// Not "tcp;ofi_rxm" and its like, a core provider under a utility that makes reliable datagrams of
/// it; nor sockets, whose listener thread crashes when somebody connects.
constexpr bool is_used_with_connections(std::string_view provider) {
  return provider.find(';') == std::string_view::npos && provider != "sockets";
}

/// Whether it ends the process where others work: net's own datagrams are what it is for, rxm on
/// top of it crashes.
constexpr bool is_broken(std::string_view provider) {
  return provider == "net;ofi_rxm";
}

}  // namespace grainfabric::transport::ofi
