// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace grainfabric::transport::ofi {

/// Makes the loaded library that holds `address_in_library` call `replacement` wherever it calls
/// the function `name` of another library: the slots of its import table (ELF gABI, "Procedure
/// Linkage Table") are set anew. The other libraries of the process keep theirs. Returns whether
/// there was such an import; false also where the format is not known (only RELA is). Not undone:
/// `replacement` must stay loaded. One thread at a time; the library may run meanwhile.
bool bind_import(const void* address_in_library, std::string_view name, void* replacement);

}  // namespace grainfabric::transport::ofi
