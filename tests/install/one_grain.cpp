// SPDX-License-Identifier: Apache-2.0

/// What somebody with the installed engine writes: one grain from an Initiator to a Target.

#include <grainfabric.hpp>

#include <cstddef>
#include <cstdio>
#include <vector>

using namespace grainfabric;

namespace {

struct Sender final : InitiatorEvents {
  void on_peer(const PeerChange&) override {}
  void on_upstream(const StreamEvent&) override {}
  void on_failed(const Error& error) override { std::fprintf(stderr, "%s\n", error.what()); }
};

struct Receiver final : TargetEvents {
  void on_peer(const PeerChange& change) override {
    std::printf("peer %s: %s\n", change.peer.c_str(), change.reason.c_str());
  }
};

}  // namespace

int main() {
  try {
    Receiver receiver;
    Target target({.address = "127.0.0.1", .port = 0}, receiver);
    target.start();

    Sender sender;
    Initiator initiator({.host = "127.0.0.1", .port = target.port()}, sender);
    initiator.start();
    const std::vector<std::byte> picture(1920 * 1080 * 2, std::byte{42});
    const PayloadPart part{picture, nullptr};
    OutgoingGrain grain;
    grain.payload = {&part, 1};
    if (initiator.push(grain, {}) != Initiator::PushResult::accepted) return 1;

    const auto item = target.pop(std::chrono::seconds(10));
    const auto* arrived = item ? std::get_if<IncomingGrain>(&*item) : nullptr;
    const bool same = arrived != nullptr && arrived->payload.size() == picture.size() &&
                      std::equal(picture.begin(), picture.end(), arrived->payload.begin());
    std::puts(same ? "the grain arrived" : "the grain did not arrive as it was");
    initiator.stop();
    return same ? 0 : 1;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
