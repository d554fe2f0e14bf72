// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/datagram_endpoint.hpp"

#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_errno.h>

#include <cstring>

#include "base/log.hpp"
#include "transport/ofi/address.hpp"
#include "transport/ofi/bounded_locks.hpp"
#include "transport/ofi/error.hpp"
#include "transport/ofi/provider.hpp"
#include "transport/ofi/shm_leftovers.hpp"

namespace grainfabric::transport::ofi {
namespace {

std::span<const std::byte> bytes_of(const MessageHeader& head) {
  return std::as_bytes(std::span(&head, 1));
}

bool needs_process_peers(const Device& device) {
  return shares_memory_in_process(device.capabilities().provider);
}

}  // namespace

DatagramEndpoint::DatagramEndpoint(std::shared_ptr<const Device> device, const Token& token,
                                   EndpointEvents& user)
    : OfiEndpoint(std::move(device), user), token_(token), connects_(false) {
  open();
  set_address(own_);
}

DatagramEndpoint::DatagramEndpoint(std::shared_ptr<const Device> device, const Address& peer,
                                   const Token& token, EndpointEvents& user)
    : OfiEndpoint(std::move(device), user), token_(token), connects_(true) {
  open();
  const Address target = validated(peer, own_.format, own_.bytes);
  try {
    insert(target);
  } catch (const Error& error) {
    fail(error);  // a proper address that nobody has: told like any refusal, by on_closed()
    return;
  }
  due_ = MessageKind::hello;
  start_deadline();
  retry_soon();  // sent by the first progress()
}

DatagramEndpoint::~DatagramEndpoint() {
  close();
}

void DatagramEndpoint::open() {
  const Device& on = device();
  fi_av_attr attr{};
  attr.type = FI_AV_UNSPEC;
  attr.count = 1;
  fid_av* addresses = nullptr;
  check(fi_av_open(on.domain(), &attr, &addresses, nullptr),
        "Cannot create an address table on " + on.name());
  objects_ = std::make_shared<DatagramObjects>();
  objects_->device = shared_device();
  objects_->addresses = Fid(addresses);
  const Info info = duplicate(on.info());
  objects_->channel = std::make_unique<Channel>(shared_device(), *info, nullptr, addresses,
                                                on.name(), static_cast<ChannelEvents&>(*this));
  own_ = name_of(&channel()->endpoint()->fid, info->addr_format, on.name());
  ShmLeftovers::shared().sweep();
  if (needs_process_peers(on)) ProcessPeers::shared().enter(own_, objects_);
}

void DatagramEndpoint::insert(const Address& peer) {
  set_peer_name(describe(peer));
  if (needs_process_peers(device()) && ProcessPeers::is_local(peer)) {
    process_peer_ = ProcessPeers::shared().find(peer);
    if (!process_peer_) {
      throw Error(ErrorCode::unreachable, peer_name() + " is not there any more",
                  "Connect to the address that the target gives now.");
    }
  }
  const BoundedLocks locks(shares_locks(device().capabilities().provider));
  fi_addr_t entry = FI_ADDR_UNSPEC;
  const int inserted =
      fi_av_insert(objects_->addresses.get(), peer.bytes.data(), 1, &entry, 0, nullptr);
  check(inserted, "Cannot reach " + peer_name());
  if (inserted != 1) {
    throw Error(ErrorCode::protocol, "The provider refuses the address of " + peer_name());
  }
  channel()->set_peer(entry);
  channel()->set_name(peer_name());
  peer_ = entry;
  peer_address_ = peer;
}

void DatagramEndpoint::close() noexcept {
  if (!objects_) return;
  const BoundedLocks locks(shares_locks(device().capabilities().provider));
  if (peer_ != FI_ADDR_UNSPEC) {
    // Several providers never tell that a peer went (measured on 1.17: shm, and rxm at the side
    // that was connected to), so that this side says it.
    const MessageHeader last = header(MessageKind::goodbye, token_);
    channel()->try_inject(bytes_of(last));
  }
  if (needs_process_peers(device())) {
    if (process_peer_) fi_av_remove(objects_->addresses.get(), &peer_, 1, 0);
    ProcessPeers::shared().leave(own_, objects_, process_peer_);
    process_peer_.reset();
  }
  objects_.reset();
  ShmLeftovers::shared().watch(peer_address_);
}

void DatagramEndpoint::add_waitables(std::vector<int>* fds, std::vector<fid_t>* objects) const {
  fds->push_back(channel()->fd());
  objects->push_back(channel()->queue());
}

Posted DatagramEndpoint::send_message(Channel& channel, std::span<const std::byte> message,
                                      std::uint64_t context) {
  const MessageHeader head = header(MessageKind::data, token_);
  return channel.send(bytes_of(head), message, context);
}

Posted DatagramEndpoint::post_write(Channel& channel, std::span<const LocalPiece> pieces,
                                    std::uint64_t target_address, std::uint64_t key,
                                    std::optional<std::uint32_t> immediate, std::uint64_t context) {
  if (!immediate || !announces_by_message(device().capabilities().provider)) {
    return channel.write(pieces, target_address, key, immediate, context);
  }
  if (unannounced_.size() >= kSendDepth) return Posted::again;
  const Posted posted = channel.write(pieces, target_address, key, std::nullopt, context);
  if (posted == Posted::ok) {
    unannounced_.push_back(*immediate);
    send_announcements();
  }
  return posted;
}

Posted DatagramEndpoint::post_inject(Channel& channel, std::span<const std::byte> data,
                                     std::uint64_t target_address, std::uint64_t key,
                                     std::uint32_t immediate) {
  if (!announces_by_message(device().capabilities().provider)) {
    return channel.inject_write(data, target_address, key, immediate);
  }
  if (unannounced_.size() >= kSendDepth) return Posted::again;
  const Posted posted = channel.inject_write(data, target_address, key, std::nullopt);
  if (posted == Posted::ok) {
    unannounced_.push_back(immediate);
    send_announcements();
  }
  return posted;
}

bool DatagramEndpoint::send_announcements() {
  bool sent = false;
  while (!unannounced_.empty()) {
    const MessageHeader head = header(MessageKind::immediate, token_);
    const std::uint32_t immediate = unannounced_.front();
    const Posted posted =
        channel()->send(bytes_of(head), std::as_bytes(std::span(&immediate, 1)), std::nullopt);
    if (posted == Posted::again) retry_soon();
    if (posted != Posted::ok) break;
    unannounced_.pop_front();
    sent = true;
  }
  return sent;
}

bool DatagramEndpoint::drive() {
  bool done = channel()->drain(kProgressBatch) > 0;
  if (!is_failing()) done |= send_announcements();
  if (due_ && !is_failing()) done |= send_due();
  return done;
}

bool DatagramEndpoint::send_due() {
  const MessageHeader head = header(*due_, token_);
  const std::vector<std::byte> body =
      *due_ == MessageKind::hello ? hello_body(own_) : std::vector<std::byte>();
  const Posted posted = channel()->send(bytes_of(head), body, std::nullopt);
  if (posted == Posted::again) retry_soon();
  if (posted != Posted::ok) return false;
  const bool was_welcome = due_ == MessageKind::welcome;
  due_.reset();
  if (was_welcome) established();
  return true;
}

void DatagramEndpoint::channel_message(std::span<const std::byte> raw) {
  const std::optional<Message> message = parse(raw, token_);
  if (!message) {
    log(LogLevel::warning, "ofi",
        "Ignored a message of " + std::to_string(raw.size()) + " bytes at " + describe(own_) +
            " (" + device().name() + "): it does not present the token of this connection");
    return;
  }
  const bool is_connected = state() == State::connected;
  switch (message->kind) {
    case MessageKind::hello:
      if (!connects_ && peer_ == FI_ADDR_UNSPEC) on_hello(message->body);
      break;
    case MessageKind::welcome:
      if (connects_ && state() == State::connecting) established();
      break;
    case MessageKind::data:
      if (is_connected) deliver(message->body);
      break;
    case MessageKind::immediate: {
      std::uint32_t immediate = 0;
      if (message->body.size() != sizeof immediate) break;
      std::memcpy(&immediate, message->body.data(), sizeof immediate);
      channel_immediate(immediate);
      break;
    }
    case MessageKind::goodbye:
      fail(Error(ErrorCode::disconnected, peer_name() + " closed the connection"));
      break;
  }
}

void DatagramEndpoint::on_hello(std::span<const std::byte> body) {
  // An address that makes no sense is ignored like any other garbage: the right one may follow.
  try {
    const std::optional<Address> peer = parse_hello(body);
    if (!peer) throw Error(ErrorCode::protocol, "A first message is cut short");
    insert(validated(*peer, own_.format, own_.bytes));
  } catch (const Error& error) {
    log(LogLevel::warning, "ofi", std::string("Ignored a first message: ") + error.what());
    return;
  }
  due_ = MessageKind::welcome;
  start_deadline();
}

}  // namespace grainfabric::transport::ofi
