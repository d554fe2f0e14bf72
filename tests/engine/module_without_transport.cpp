// SPDX-License-Identifier: Apache-2.0
// A transport module that loads and has nothing to offer.
extern "C" __attribute__((visibility("default"))) void* grainfabric_transport_1() {
  return nullptr;
}
