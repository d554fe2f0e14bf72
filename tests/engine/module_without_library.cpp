// SPDX-License-Identifier: Apache-2.0
// A transport module that cannot be loaded: what it is linked with is not found.
extern "C" int grainfabric_absent();
extern "C" __attribute__((visibility("default"))) void* grainfabric_transport_1() {
  return grainfabric_absent() != 0 ? nullptr : nullptr;
}
