// SPDX-License-Identifier: Apache-2.0
#include "base/cpus.hpp"

#include <hwloc.h>
#include <sched.h>

#include <cstdlib>
#include <memory>

#include "base/error.hpp"

namespace grainfabric {
namespace {

struct FreesBitmap {
  void operator()(hwloc_bitmap_t bitmap) const noexcept { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreesBitmap>;

Bitmap make_bitmap() {
  Bitmap bitmap(hwloc_bitmap_alloc());
  if (!bitmap) throw Error(ErrorCode::no_memory, "There is no memory for a list of CPUs");
  return bitmap;
}

/// "0-3,8"
std::string usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return "not known";
  const Bitmap bitmap = make_bitmap();
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) hwloc_bitmap_set(bitmap.get(), cpu);
  }
  char* text = nullptr;
  if (hwloc_bitmap_list_asprintf(&text, bitmap.get()) < 0) return "not known";
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return text;
}

[[noreturn]] void refuse(const std::string& cpus, const std::string& why) {
  throw Error(ErrorCode::invalid_argument, "\"" + cpus + "\" " + why,
              "Give CPUs like \"2\" or \"0-3,8\"; this process may use " + usable_cpus() + ".");
}

}  // namespace

void run_this_thread_on(const std::string& cpus) {
  if (cpus.empty()) return;
  const Bitmap wanted = make_bitmap();
  // What hwloc does not understand at the end of a list it leaves out; without an end ("2-"), the
  // last one is -1.
  if (cpus.find_first_not_of("0123456789,-") != std::string::npos ||
      hwloc_bitmap_list_sscanf(wanted.get(), cpus.c_str()) != 0 ||
      hwloc_bitmap_last(wanted.get()) < 0) {
    refuse(cpus, "is no list of CPUs");
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu = hwloc_bitmap_first(wanted.get()); cpu >= 0 && cpu < CPU_SETSIZE;
       cpu = hwloc_bitmap_next(wanted.get(), cpu)) {
    CPU_SET(static_cast<unsigned>(cpu), &set);
  }
  if (::sched_setaffinity(0, sizeof set, &set) != 0) refuse(cpus, "has no CPU for this process");
}

}  // namespace grainfabric
