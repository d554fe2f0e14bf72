// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/shm_leftovers.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <string_view>

namespace grainfabric::transport::ofi {
namespace {

/// "PID:…" of an address, if it is one of the provider's own making: digits and colons only, so
/// that no peer can point at another file.
std::string file_of(const Address& peer) {
  constexpr std::string_view kScheme = "fi_shm://";
  std::string text(reinterpret_cast<const char*>(peer.bytes.data()), peer.bytes.size());
  text.resize(std::min(text.size(), text.find('\0')));
  if (text.rfind(kScheme, 0) != 0) return {};
  const std::string name = text.substr(kScheme.size());
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](unsigned char c) { return std::isdigit(c) != 0 || c == ':'; });
  return plain && !name.empty() && name.front() != ':' && name.find(':') != std::string::npos
             ? name
             : std::string();
}

/// Gone, exiting (its sockets close before it is a zombie), or a zombie that its parent has not
/// looked after yet: the state and the flags of proc(5).
bool is_dead(const std::string& pid) {
  constexpr unsigned kExiting = 0x4;  // PF_EXITING
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return true;
  const std::size_t name_end = line.rfind(") ");  // the name may hold anything
  if (name_end == std::string::npos) return false;
  std::istringstream fields(line.substr(name_end + 2));
  char state = 0;
  long parent = 0;
  long group = 0;
  long session = 0;
  long terminal = 0;
  long foreground = 0;
  unsigned flags = 0;
  if (!(fields >> state >> parent >> group >> session >> terminal >> foreground >> flags)) {
    return false;
  }
  return state == 'Z' || state == 'X' || (flags & kExiting) != 0;
}

}  // namespace

ShmLeftovers& ShmLeftovers::shared() {
  // Never destroyed: endpoints may be closed by exit handlers.
  static auto* leftovers = new ShmLeftovers;  // NOLINT(cppcoreguidelines-owning-memory)
  return *leftovers;
}

void ShmLeftovers::watch(const Address& peer) {
  std::string name = file_of(peer);
  if (name.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) {
      names_.push_back(std::move(name));
    }
  }
  sweep();
}

void ShmLeftovers::sweep() {
  const std::lock_guard lock(mutex_);
  std::erase_if(names_, [](const std::string& name) {
    const std::string path = "/dev/shm/" + name;
    struct stat file {};
    if (::lstat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode))
      return true;  // it went properly
    if (!is_dead(name.substr(0, name.find(':')))) return false;
    ::unlink(path.c_str());
    return true;
  });
}

}  // namespace grainfabric::transport::ofi
