// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/device.hpp"

#include "transport/interface.hpp"

namespace grainfabric::transport::udp {

Device::Device(const DomainOptions& options) : local(parse_local(options.local_address)) {
  capabilities.provider = kProvider;
  capabilities.interface = interface_of(options.local_address);
  if (capabilities.interface.empty()) {
    capabilities.interface = options.local_address.empty() ? "any" : options.local_address;
  }
  capabilities.max_write = kMaxWrite;
  capabilities.max_inject = kMaxInject;
  capabilities.max_send = kMaxMessage;
  capabilities.max_pieces = kMaxPieces;
  capabilities.write_depth = kWriteDepth;
  capabilities.piece_size =
      OptionReader(kProvider, options.options).piece_size(capabilities.piece_size);
  capabilities.ordered = true;
  capabilities.local_registration = false;
}

}  // namespace grainfabric::transport::udp
