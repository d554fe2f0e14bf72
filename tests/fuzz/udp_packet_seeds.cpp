// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "transport/udp/limits.hpp"
#include "transport/udp/packet.hpp"

/// Writes the seeds of udp_packet_fuzz into the folder that it is given: one of each datagram, and
/// a few rows of them as a peer would send.
namespace {

using namespace grainfabric::transport::udp;
using Bytes = std::vector<std::byte>;

template <typename T>
Bytes written(const T& packet, std::size_t size = kBaseDatagram) {
  Bytes bytes(size);
  bytes.resize(write(packet, bytes));
  return bytes;
}

Bytes chunk(std::uint64_t number, std::uint64_t position, Kind kind, std::uint8_t flags,
            const Bytes& payload) {
  Data data;
  data.number = number;
  data.position = position;
  data.address = position;
  data.key = kind == Kind::read_data ? 0 : 1;
  data.kind = kind;
  data.flags = flags;
  Bytes bytes(kDataHeaderSize);
  write(data, std::span(bytes).first<kDataHeaderSize>());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes row(const std::vector<Bytes>& datagrams) {
  Bytes bytes;
  for (const Bytes& one : datagrams) {
    bytes.push_back(static_cast<std::byte>(one.size() & 0xff));
    bytes.push_back(static_cast<std::byte>(one.size() >> 8U));
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  return bytes;
}

Bytes ack(std::uint64_t last, std::uint64_t landed, std::uint64_t number) {
  Ack packet;
  packet.number = number;
  packet.landed = landed;
  packet.count = 1;
  packet.ranges[0] = {0, last};
  return written(packet);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: udp_packet_seeds FOLDER\n";
    return 1;
  }
  Bytes request(ReadRequest::kSize);
  write(ReadRequest{0, 1, 100, 0}, std::span(request).first<ReadRequest::kSize>());
  const Bytes small(8, std::byte{1});
  const Bytes large(1000, std::byte{2});
  const std::vector<Bytes> seeds = {
      row({written(Hello{}), written(Challenge{}), written(Welcome{})}),
      row({chunk(0, 0, Kind::write, kFirst, large),
           chunk(1, 1000, Kind::write, kLast | kImmediate | kAckNow, large)}),
      row({chunk(1, 1000, Kind::write, kLast | kImmediate, large),
           chunk(0, 0, Kind::write, kFirst, large)}),
      row({chunk(0, 0, Kind::small_write, kFirst | kLast | kImmediate, small),
           chunk(1, 8, Kind::small_write, kFirst | kLast | kImmediate, small)}),
      row({chunk(1, 1000, Kind::message, kLast, large), chunk(0, 0, Kind::message, kFirst, large)}),
      row({chunk(0, 0, Kind::read_request, kFirst | kLast, request)}),
      row({chunk(0, 0, Kind::read_data, kFirst, large)}),
      row({ack(0, 0, 1), ack(2, 1408, 2), written(Ping{0, 0}, 100), written(Close{})}),
  };
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    std::ofstream file(std::string(arguments[1]) + "/seed-" + std::to_string(i), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seeds[i].data()),
               static_cast<std::streamsize>(seeds[i].size()));
    if (!file.good()) return 1;
  }
  return 0;
}
