// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/import_binding.hpp"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <span>

namespace grainfabric::transport::ofi {
namespace {

struct Request {
  std::uintptr_t inside;
  std::string_view name;
  void* replacement;
  bool found = false;
};

using Relocations = std::span<const ElfW(Rela)>;

/// What the dynamic section of a library says of its imports.
struct Imports {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  Relocations calls;  // of the procedure linkage table
  Relocations data;   // of everything else; calls compiled with -fno-plt are here
};

/// Page-aligned part of `header` as it is in memory.
std::span<std::byte> pages_of(const dl_phdr_info& library, const ElfW(Phdr) & header) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t from = (library.dlpi_addr + header.p_vaddr) & ~(page - 1);
  const std::uintptr_t to = (library.dlpi_addr + header.p_vaddr + header.p_memsz) & ~(page - 1);
  return {reinterpret_cast<std::byte*>(from), to - from};
}

Imports imports_of(const dl_phdr_info& library, const ElfW(Dyn) * entry) {
  // glibc leaves absolute addresses there, others what is in the file.
  const auto at = [&](ElfW(Addr) value) {
    return value < library.dlpi_addr ? library.dlpi_addr + value : value;
  };
  Imports imports;
  const ElfW(Rela)* calls = nullptr;
  const ElfW(Rela)* data = nullptr;
  std::size_t calls_size = 0;
  std::size_t data_size = 0;
  bool has_addends = true;
  for (; entry->d_tag != DT_NULL; ++entry) {
    const ElfW(Addr) value = entry->d_un.d_ptr;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        imports.symbols = reinterpret_cast<const ElfW(Sym)*>(at(value));
        break;
      case DT_STRTAB:
        imports.names = reinterpret_cast<const char*>(at(value));
        break;
      case DT_JMPREL:
        calls = reinterpret_cast<const ElfW(Rela)*>(at(value));
        break;
      case DT_PLTRELSZ:
        calls_size = value / sizeof(ElfW(Rela));
        break;
      case DT_PLTREL:
        has_addends = value == DT_RELA;
        break;
      case DT_RELA:
        data = reinterpret_cast<const ElfW(Rela)*>(at(value));
        break;
      case DT_RELASZ:
        data_size = value / sizeof(ElfW(Rela));
        break;
      default:
        break;
    }
  }
  if (calls != nullptr && has_addends) imports.calls = {calls, calls_size};
  if (data != nullptr) imports.data = {data, data_size};
  return imports;
}

std::size_t symbol_of(const ElfW(Rela) & relocation) {
  return sizeof(void*) == 8 ? ELF64_R_SYM(relocation.r_info) : ELF32_R_SYM(relocation.r_info);
}

int bind_in(dl_phdr_info* library, std::size_t /*size*/, void* data) {
  auto& request = *static_cast<Request*>(data);
  const std::span<const ElfW(Phdr)> headers(library->dlpi_phdr, library->dlpi_phnum);
  const ElfW(Dyn)* dynamic = nullptr;
  std::span<std::byte> sealed;  // read-only once the loader is done
  bool is_asked_for = false;
  for (const ElfW(Phdr) & header : headers) {
    const std::uintptr_t start = library->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_LOAD && request.inside - start < header.p_memsz) is_asked_for = true;
    if (header.p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(start);
    if (header.p_type == PT_GNU_RELRO) sealed = pages_of(*library, header);
  }
  if (!is_asked_for || dynamic == nullptr) return 0;
  const Imports imports = imports_of(*library, dynamic);
  if (imports.symbols == nullptr || imports.names == nullptr) return 1;
  if (!sealed.empty() && ::mprotect(sealed.data(), sealed.size(), PROT_READ | PROT_WRITE) != 0) {
    return 1;
  }
  for (const Relocations relocations : {imports.calls, imports.data}) {
    for (const ElfW(Rela) & relocation : relocations) {
      const std::size_t symbol = symbol_of(relocation);
      if (symbol == 0 || request.name != imports.names + imports.symbols[symbol].st_name) continue;
      auto* slot = reinterpret_cast<void**>(library->dlpi_addr + relocation.r_offset);
      std::atomic_ref(*slot).store(request.replacement);
      request.found = true;
    }
  }
  if (!sealed.empty()) ::mprotect(sealed.data(), sealed.size(), PROT_READ);
  return 1;
}

}  // namespace

bool bind_import(const void* address_in_library, std::string_view name, void* replacement) {
  Request request{reinterpret_cast<std::uintptr_t>(address_in_library), name, replacement};
  dl_iterate_phdr(bind_in, &request);
  return request.found;
}

}  // namespace grainfabric::transport::ofi
