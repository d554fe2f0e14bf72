// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rdma/fi_domain.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/ofi/channel.hpp"
#include "transport/ofi/fid.hpp"
#include "transport/transport.hpp"

namespace grainfabric::transport::ofi {

/// The libfabric objects of one connectionless endpoint, which may have to outlive it.
struct DatagramObjects {
  /// Objects of closed peers in this process, which these here may still reach into.
  std::vector<std::shared_ptr<DatagramObjects>> kept;
  std::shared_ptr<const Device> device;
  Fid<fid_av> addresses;
  std::unique_ptr<Channel> channel;  // uses the table until its end
  bool is_closed = false;            // by its owner; nothing drives the channel any more
};

/// Two shm endpoints in one process use each other's memory directly, and libfabric 1.17 neither
/// forgets nor checks an endpoint that was closed: the next write, and even closing the other side,
/// would touch memory that is gone. So the objects of whichever side closes first are left with the
/// other until that closes too, and a name of this process that is not here any more is never
/// connected to. (Peers in other processes are mapped on their own and stay valid.)
///
/// Any thread, but libfabric's objects are then closed on the thread of the side that closes last.
class ProcessPeers {
 public:
  static ProcessPeers& shared();

  void enter(const Address& name, const std::shared_ptr<DatagramObjects>& objects);
  /// Null if no such endpoint is open here.
  std::shared_ptr<DatagramObjects> find(const Address& name);
  /// Whether an endpoint of that name would be in this process.
  [[nodiscard]] static bool is_local(const Address& name);
  /// The end of `name`. `peer` may be null.
  void leave(const Address& name, const std::shared_ptr<DatagramObjects>& objects,
             const std::shared_ptr<DatagramObjects>& peer);

 private:
  struct State;
  ProcessPeers();
  State* state_;  // never destroyed: endpoints may be closed by exit handlers
};

}  // namespace grainfabric::transport::ofi
