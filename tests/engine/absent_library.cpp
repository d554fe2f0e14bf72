// SPDX-License-Identifier: Apache-2.0
// A library that a transport module needs and that is not installed where the module is.
extern "C" __attribute__((visibility("default"))) int grainfabric_absent() {
  return 1;
}
