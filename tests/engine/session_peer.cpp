// SPDX-License-Identifier: Apache-2.0
// One end of a session in a process of its own, for tests that stop and kill it:
//     session_peer target PORT PROVIDER      says "up PORT", then "grain SEQUENCE DISCONT" for each
//     session_peer initiator PORT PROVIDER   sends grains until it is killed
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "session/initiator.hpp"
#include "session/target.hpp"

namespace {

using namespace grainfabric;
using namespace std::chrono_literals;

struct Deaf final : InitiatorEvents, TargetEvents {
  void on_peer(const PeerChange&) override {}
  void on_upstream(const StreamEvent&) override {}
  void on_failed(const Error&) override {}
};

void say(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) std::_Exit(1);
}

int serve(std::uint16_t port, const std::string& provider) {
  Deaf deaf;
  TargetOptions options;
  options.address = "127.0.0.1";
  options.port = port;
  options.provider = provider;
  Target target(options, deaf);
  target.start();
  say("up " + std::to_string(target.port()));
  for (;;) {
    const auto incoming = target.pop(1s);
    if (!incoming) continue;
    if (const auto* grain = std::get_if<IncomingGrain>(&*incoming)) {
      say("grain " + std::to_string(grain->info.sequence) + (grain->discont ? " 1" : " 0"));
    }
  }
}

int send(std::uint16_t port, const std::string& provider) {
  Deaf deaf;
  InitiatorOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.provider = provider;
  Initiator initiator(options, deaf);
  initiator.start();
  const std::vector<std::byte> bytes(20'000, std::byte{7});
  const PayloadPart part{bytes, nullptr};
  OutgoingGrain grain;
  grain.payload = std::span(&part, 1);
  for (;;) {
    initiator.push(grain, {});
    std::this_thread::sleep_for(1ms);
  }
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // never survives its test
  if (argc != 4) return 2;
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[2]));
  return std::string(argv[1]) == "target" ? serve(port, argv[3]) : send(port, argv[3]);
}
