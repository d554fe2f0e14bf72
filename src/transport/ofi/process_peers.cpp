// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/process_peers.hpp"

#include <unistd.h>

#include <map>
#include <mutex>
#include <string_view>

namespace grainfabric::transport::ofi {

struct ProcessPeers::State {
  std::mutex mutex;
  std::map<std::vector<std::byte>, std::weak_ptr<DatagramObjects>> open;
};

ProcessPeers::ProcessPeers() : state_(new State) {}

ProcessPeers& ProcessPeers::shared() {
  static ProcessPeers peers;
  return peers;
}

void ProcessPeers::enter(const Address& name, const std::shared_ptr<DatagramObjects>& objects) {
  const std::lock_guard lock(state_->mutex);
  state_->open[name.bytes] = objects;
}

std::shared_ptr<DatagramObjects> ProcessPeers::find(const Address& name) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->open.find(name.bytes);
  return found == state_->open.end() ? nullptr : found->second.lock();
}

bool ProcessPeers::is_local(const Address& name) {
  // shm names its endpoints fi_shm://PID:…
  const std::string own = "fi_shm://" + std::to_string(::getpid()) + ":";
  const std::string_view text(reinterpret_cast<const char*>(name.bytes.data()), name.bytes.size());
  return text.starts_with(own);
}

void ProcessPeers::leave(const Address& name, const std::shared_ptr<DatagramObjects>& objects,
                         const std::shared_ptr<DatagramObjects>& peer) {
  const std::lock_guard lock(state_->mutex);
  state_->open.erase(name.bytes);
  objects->is_closed = true;
  // Left with one that is still open; two closed ones would hold each other for ever.
  if (peer && !peer->is_closed) peer->kept.push_back(objects);
}

}  // namespace grainfabric::transport::ofi
