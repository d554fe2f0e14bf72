// SPDX-License-Identifier: Apache-2.0
// Writes what the fuzzers of the control channel begin with: control_seeds DECODE CHANNEL. Into
// either folder a file for each message as its sender encodes it; for the channel with the byte
// that cuts it.
#include <filesystem>
#include <fstream>

#include "control_messages.hpp"
#include "message/frame.hpp"

namespace grainfabric::fuzz {
namespace {

const Token kToken = Token::from_bytes(std::vector<std::byte>(16, std::byte{0x5a}));
const transport::RemoteMemory kMemory{4096, std::uint64_t{1} << 30U, 0x1234};
const transport::Address kAddress{"FI_SOCKADDR_IN", std::vector<std::byte>(16, std::byte{2})};
const StreamEvent kEvent{"caps", true, std::vector<std::byte>(40, std::byte{'x'})};

/// One that its receiver accepts, with all its fields.
const std::tuple kSamples = {
    protocol::Hello{1, kToken, kToken, "host", "software", {"tcp", "shm"}, "not verbs", 7},
    protocol::Welcome{1, kToken, "tcp", "why", true, 6},
    protocol::Refuse{ErrorCode::busy, "no", "verbs"},
    protocol::Config{1, 5529600, 8, Announce::every_piece, kMemory},
    protocol::Ring{1, 5529600, 8, kMemory, kAddress, kToken},
    protocol::Event{1, 2, kEvent},
    protocol::Upstream{kEvent},
    protocol::Status{1, 2, 3, 4, 5},
    protocol::Bye{9, "bye"},
    tool::Hello{1, "software", {"tcp"}},
    tool::Welcome{"software", "host", "tcp", "why"},
    tool::Round{tool::Operation::read, 4096, 16, 1, true, 42, kMemory},
    tool::Ready{kMemory, kAddress, kToken},
    tool::Result{1, 2, 3},
};

std::string frame_of(std::uint16_t type, GVariant* fields) {
  const GlibPtr<GVariant> body(g_variant_get_normal_form(fields));
  const std::size_t size = g_variant_get_size(body.get());
  const auto header = encode_frame_header({type, static_cast<std::uint32_t>(size)});
  return std::string(reinterpret_cast<const char*>(header.data()), header.size()) +
         std::string(static_cast<const char*>(g_variant_get_data(body.get())), size);
}

void write(const std::filesystem::path& folder, const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << bytes;
}

}  // namespace
}  // namespace grainfabric::fuzz

int main(int argc, char** argv) {
  using namespace grainfabric::fuzz;
  if (argc != 2) return 2;
  std::string all;
  for_each_kind([&](auto kind) {
    using Message = typename decltype(kind)::Message;
    const std::string frame = frame_of(kind.kType, std::get<Message>(kSamples).encode().get());
    write(argv[1], std::to_string(kind.kType), frame);
    all += frame;
  });
  write(argv[1], "all", all);
  return 0;
}
