// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "transport/transport.hpp"

namespace grainfabric::test {

/// An endpoint whose peer is an array in this process, and whose completions come when the test
/// says so, in the order it says.
class FakeEndpoint final : public transport::Endpoint {
 public:
  struct Written {
    std::uint64_t address;
    std::uint64_t key;
    std::size_t size;
    std::size_t parts;
    std::optional<std::uint32_t> immediate;
    std::uint64_t context;
  };

  std::vector<std::byte> remote;  ///< What writes land in; addresses count from its start.
  std::vector<Written> written;   ///< All of them, in order.
  std::deque<Written> in_flight;  ///< Without completion yet.
  std::size_t depth = SIZE_MAX;   ///< More in flight get Posted::again.
  std::size_t most_in_flight = 0;
  std::size_t most_bytes_in_flight = 0;
  int refuse_next = 0;  ///< So many writes get Posted::again.
  bool broken = false;  ///< Every write gets Posted::failed.
  /// Called inside write(): a transport may complete at once.
  std::function<void(std::uint64_t)> complete_inside;

  const transport::Address& address() const noexcept override { return address_; }
  transport::Posted write(std::span<const transport::LocalPiece> pieces, std::uint64_t target,
                          std::uint64_t key, std::optional<std::uint32_t> immediate,
                          std::uint64_t context) override {
    if (broken) return transport::Posted::failed;
    if (refuse_next > 0) {
      --refuse_next;
      return transport::Posted::again;
    }
    if (in_flight.size() >= depth) return transport::Posted::again;
    std::size_t size = 0;
    for (const transport::LocalPiece& piece : pieces) {
      if (target + size + piece.size > remote.size()) throw std::out_of_range("beyond the peer");
      std::memcpy(remote.data() + target + size, piece.data, piece.size);
      size += piece.size;
    }
    written.push_back({target, key, size, pieces.size(), immediate, context});
    in_flight.push_back(written.back());
    bytes_in_flight_ += size;
    most_in_flight = std::max(most_in_flight, in_flight.size());
    most_bytes_in_flight = std::max(most_bytes_in_flight, bytes_in_flight_);
    if (complete_inside) {
      forget(in_flight.size() - 1);
      complete_inside(context);
    }
    return transport::Posted::ok;
  }
  transport::Posted inject_write(std::span<const std::byte>, std::uint64_t, std::uint64_t,
                                 std::uint32_t) override {
    return transport::Posted::failed;
  }
  transport::Posted read(const transport::LocalPiece&, std::uint64_t, std::uint64_t,
                         std::uint64_t) override {
    return transport::Posted::failed;
  }
  transport::Posted send(std::span<const std::byte>, std::uint64_t) override {
    return transport::Posted::failed;
  }
  void append_fds(std::vector<int>*) const override {}
  bool arm() override { return true; }
  bool progress() override { return false; }

  /// Takes the completion of the in-flight write at `index`.
  std::uint64_t forget(std::size_t index) {
    const Written one = in_flight[index];
    in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(index));
    bytes_in_flight_ -= one.size;
    return one.context;
  }

 private:
  transport::Address address_;
  std::size_t bytes_in_flight_ = 0;
};

}  // namespace grainfabric::test
