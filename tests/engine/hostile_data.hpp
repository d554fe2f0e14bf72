// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hostile.hpp"
#include "transport/local/local.hpp"
#include "transport_pair.hpp"

namespace grainfabric::test {

/// An initiator by hand, down to the data connection.
class HostileData : public Hostile {
 protected:
  explicit HostileData(TargetOptions options = local(), Announce announce = Announce::last_piece,
                       std::string provider = plain_provider())
      : Hostile(std::move(options)), announce_(announce), provider_(std::move(provider)) {}
  void SetUp() override {
    protocol::Hello hello = a_hello();
    hello.offers = {provider_};
    hello.host_hint = transport::local::same_host_hint({});
    peer_.emplace(welcomed(hello));
    domain_ = transport::Table::shared().open({provider_, "127.0.0.1"});
    credit_ = std::make_unique<transport::Registered>(*domain_, 8, transport::Access::remote);
    source_ = std::make_unique<transport::Registered>(*domain_, 8192, transport::Access::local);
    ring_ = configured(1);
  }
  /// The ring of an epoch.
  protocol::Ring configured(std::uint64_t epoch) {
    protocol::Config config = a_config(epoch);
    config.credit = credit_->remote();
    config.announce = announce_;
    peer_->say(number(protocol::Type::config), config.encode());
    const auto message = peer_->hear_type(number(protocol::Type::ring));
    if (!message) throw std::runtime_error("the target answers no CONFIG");
    return protocol::Ring::decode(message->fields.get());
  }
  void TearDown() override {
    endpoint_.reset();
    peer_.reset();
  }
  /// With a new session, after the last one was ended.
  void begin_again() {
    TearDown();
    events_ = {};
    loop_ = {};
    SetUp();
  }
  bool dial(const Token& token) {
    endpoint_ = domain_->connect(ring_.address, token, events_);
    loop_.add(*endpoint_);
    const auto decided = [&] { return events_.connected == 1 || !events_.closed.empty(); };
    eventually([&] {  // to be refused may take udp as long as a silent peer has
      peer_->say(number(protocol::Type::heartbeat), protocol::encode_heartbeat());
      return loop_.run_until(decided, protocol::kHeartbeat);
    });
    return events_.connected == 1;
  }
  GrainHeader header() const {
    GrainHeader header{};
    header.magic = kGrainMagic;
    header.version = kGrainVersion;
    header.header_size = sizeof header;
    header.epoch = 1;
    header.sequence = 1;
    header.payload_size = 100;
    header.pts = header.dts = kNone;
    header.total_slices = 1;
    return header;
  }
  void write(const GrainHeader& header, std::uint32_t immediate, std::uint64_t slot = 0) {
    std::memcpy(source_->bytes.data(), &header, sizeof header);
    const transport::LocalPiece piece = source_->piece(0, sizeof header + 100);
    ASSERT_EQ(endpoint_->write({&piece, 1},
                               ring_.memory.address + slot * slot_stride(ring_.capacity) +
                                   kSlotHeaderSize - sizeof header,
                               ring_.memory.key, immediate, 1),
              transport::Posted::ok);
  }
  /// The session has ended, the nth in this test, and not because this peer sends no heartbeats.
  testing::AssertionResult is_over(std::size_t nth = 1) {
    const auto& heard = receiver_.heard;
    eventually([&] {
      loop_.run_for(1ms);  // no descriptor of its tells
      return heard.count(PeerChange::Kind::disconnected) >= nth;
    });
    const auto ends = heard.changes(PeerChange::Kind::disconnected);
    if (ends.size() != nth) return testing::AssertionFailure() << ends.size() << " ended";
    if (ends.back().reason.find("silent") == std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "session " << nth << ": " << ends.back().reason;
  }

  const Announce announce_;
  const std::string provider_;
  std::optional<RawPeer> peer_;
  std::unique_ptr<transport::Domain> domain_;
  std::unique_ptr<transport::Registered> credit_;
  std::unique_ptr<transport::Registered> source_;
  protocol::Ring ring_;
  transport::Recorder events_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  transport::PollLoop loop_;
};

}  // namespace grainfabric::test
