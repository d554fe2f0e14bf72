// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/doorbell.hpp"
#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "base/export.hpp"
#include "base/fd.hpp"
#include "base/token.hpp"
#include "transport/options.hpp"

/// What every transport offers: one-sided writes and reads with 32-bit immediate data into
/// registered memory of a peer, and small messages.
///
/// Rules for all of it:
///  - Threads: whoever opened a Domain drives it and all its children from one thread at a time:
///  the
///    engine's event loop, or who has its turn. Nothing here locks, nothing here blocks.
///  - Ownership: children keep what they need of their parents alive; destroy in any order.
///    Destroying an Endpoint closes it at once, transfers in flight included; no event follows.
///  - Errors: opening, registering and connecting throw Error; posting returns Posted; an endpoint
///    that fails later says so once through EndpointEvents::on_closed.
namespace grainfabric::transport {

/// Address of an Endpoint as its peer needs it. Opaque outside its transport; comes from a peer,
/// so every transport validates it.
struct Address {
  std::string format;            ///< Transport's own name of the format, e.g. "FI_SOCKADDR_IN".
  std::vector<std::byte> bytes;  ///< At most kMaxAddress.
};
inline constexpr std::size_t kMaxAddress = 512;

/// Where remote memory begins and the key that opens it: what a peer must know to write there.
struct RemoteMemory {
  std::uint64_t address = 0;  ///< Virtual address, or 0 where the transport counts from the start.
  std::uint64_t length = 0;   ///< Bytes.
  std::uint64_t key = 0;
};

/// Memory that a transport may touch; invalidated when destroyed (quiesce the endpoints first).
class Registration {
 public:
  virtual ~Registration() = default;
  /// What a peer needs to write or read this memory.
  [[nodiscard]] virtual RemoteMemory remote() const noexcept = 0;
};

enum class Access {
  local,   ///< Source of writes, destination of reads, by this side only.
  remote,  ///< Peers may write and read it too.
};

/// A contiguous run of local bytes. `registration` covers them; null is allowed where
/// Capabilities::local_registration is false.
struct LocalPiece {
  const std::byte* data = nullptr;
  std::size_t size = 0;
  const Registration* registration = nullptr;
};

/// What a Domain can do, fixed when it is opened. Sizes in bytes.
struct Capabilities {
  std::string provider;        ///< As `provider=` takes it: "tcp", "tcp;ofi_rxm", "shm", …
  std::string interface;       ///< Device or interface it runs on: "eth0", "rxe0"; may be empty.
  std::size_t max_write = 0;   ///< Longest single write or read; longer ones are refused.
  std::size_t max_inject = 0;  ///< Longest inject_write().
  std::size_t max_send = 0;    ///< Longest send().
  std::size_t max_pieces = 1;  ///< LocalPieces in one write.
  /// Length of a write at which long transfers are quickest. Pieces near the size of a core's cache
  /// keep the bytes hot between the copies of a software transport; src/README.md has the
  /// measurements.
  std::size_t piece_size = std::size_t{512} << 10U;
  std::size_t write_depth = 0;      ///< Writes in flight per endpoint before Posted::again.
  bool ordered = false;             ///< An immediate tells that all earlier writes have landed too.
  bool local_registration = false;  ///< LocalPieces must be registered.
  bool shares = false;              ///< Endpoint::share() works: one host.
};

enum class Posted {
  ok,      ///< Accepted; a completion follows (none for inject_write).
  again,   ///< Queues are full now; try again after the next completion or progress().
  failed,  ///< The endpoint is closed or the request can never work; on_closed says why.
};

/// What an Endpoint tells its user, from inside progress() or attend().
class EndpointEvents {
 public:
  /// Writes may be posted from now on. Called once, before anything else.
  virtual void on_connected() = 0;
  /// A write(), read() or send() with this context is done: its local memory is free to change.
  /// For writes this says nothing about arrival.
  virtual void on_completed(std::uint64_t context) = 0;
  /// A peer's write with immediate data has landed (see Capabilities::ordered).
  virtual void on_immediate(std::uint32_t immediate) = 0;
  /// A peer's send(). Valid during the call.
  virtual void on_message(std::span<const std::byte> message) = 0;
  /// A peer's share(): a file to map for reading. Comes before what the peer posted after it.
  virtual void on_shared(std::uint32_t /*id*/, UniqueFd /*file*/) {}
  /// A peer's unshare(): nothing that comes refers to it any more.
  virtual void on_unshared(std::uint32_t /*id*/) {}
  /// The endpoint is of no more use: refused, failed, or the peer went. Called once, last.
  /// Contexts without completion never complete.
  virtual void on_closed(const Error& reason) = 0;

 protected:
  ~EndpointEvents() = default;
};

/// One connection between two peers.
class Endpoint : public Pollable {
 public:
  /// What the peer must be given to connect() here. Empty on the side that connects.
  [[nodiscard]] virtual const Address& address() const noexcept = 0;

  /// Writes `pieces`, one after the other, to `target_address` (RemoteMemory::address plus an
  /// offset) under `key`; with `immediate` the peer gets an on_immediate() after the data.
  virtual Posted write(std::span<const LocalPiece> pieces, std::uint64_t target_address,
                       std::uint64_t key, std::optional<std::uint32_t> immediate,
                       std::uint64_t context) = 0;
  /// Writes at most max_inject bytes, which may change as soon as the call returns. No completion.
  virtual Posted inject_write(std::span<const std::byte> data, std::uint64_t target_address,
                              std::uint64_t key, std::uint32_t immediate) = 0;
  /// Reads from the peer into `destination` (registered where local_registration).
  virtual Posted read(const LocalPiece& destination, std::uint64_t source_address,
                      std::uint64_t key, std::uint64_t context) = 0;
  /// Sends a message of at most max_send bytes; `message` may change as soon as the call returns.
  virtual Posted send(std::span<const std::byte> message, std::uint64_t context) = 0;

  // For a thread that attends to its endpoint itself rather than be told by the loop thread; where
  // that is quicker, which is where there is a doorbell().
  /// As progress(), but leaves the end of the endpoint to that. The loop is not woken for what
  /// comes within `how_long` (0: it is), so that this has to be called again by then or soon after.
  virtual bool attend(std::chrono::milliseconds /*how_long*/) { return false; }
  /// Before the thread sleeps at the doorbell: until the next attend() the loop is not woken.
  /// False: something has come already.
  virtual bool prepare_doorbell() { return false; }
  /// Rings when there is something to attend to. Null before the connection, and where there is
  /// none.
  [[nodiscard]] virtual std::shared_ptr<Doorbell> doorbell() const { return nullptr; }

  // Where Capabilities::shares.
  /// Gives the peer a file to read from, under a number of the caller's. No completion.
  virtual Posted share(std::uint32_t /*id*/, int /*file*/) { return Posted::failed; }
  /// Ends that: what the peer has mapped it keeps for as long as it wants.
  virtual Posted unshare(std::uint32_t /*id*/) { return Posted::failed; }
  /// A descriptor that says whether the peer may still be reading what was shared: it is hung up
  /// (POLLHUP) once the peer's endpoint is gone and all of the peer's own lifelines are closed,
  /// also by the end of its process. Once connected; the caller's, and may outlive the endpoint.
  [[nodiscard]] virtual UniqueFd lifeline() const { return {}; }
};

/// A transport opened on one local interface.
class Domain {
 public:
  virtual ~Domain() = default;
  [[nodiscard]] virtual const Capabilities& capabilities() const noexcept = 0;

  /// Registers memory. Throws Error (locked_memory_limit with the remedy where that is why).
  virtual std::unique_ptr<Registration> register_memory(std::span<std::byte> memory,
                                                        Access access) = 0;
  /// Waits for the one peer that presents `token`; others are turned away and logged. Give
  /// address() to the peer. `events` outlives the endpoint.
  virtual std::unique_ptr<Endpoint> accept(const Token& token, EndpointEvents& events) = 0;
  /// Connects to an accept()ing peer. Returns at once; on_connected() or on_closed() follows in
  /// bounded time (kConnectTimeout).
  virtual std::unique_ptr<Endpoint> connect(const Address& peer, const Token& token,
                                            EndpointEvents& events) = 0;
};

/// How long a connect() may take before on_closed(timed_out). Long enough for verbs' address and
/// route resolution with one lost packet, short enough that a person still watches.
inline constexpr std::chrono::milliseconds kConnectTimeout{5000};

struct DomainOptions {
  /// A name that Transport::providers() lists.
  std::string provider;
  /// Local address (numeric IPv4 or IPv6, with %scope where needed) that data connections use;
  /// empty: any. Transports without addresses (shm) ignore it.
  std::string local_address;
  /// The provider's own, by the application; Table::open() adds those of the configuration file.
  Options options;
};

/// One thing that a provider can be opened on, for a person who looks for it.
struct DeviceInfo {
  std::string provider;   ///< As Transport::providers() lists it.
  std::string interface;  ///< As Capabilities::interface; may be empty.
  std::string address;    ///< For DomainOptions::local_address; empty where it has none.
};

/// A family of providers behind one library.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Provider names that this host can open now, e.g. {"tcp", "tcp;ofi_rxm", "shm"}.
  [[nodiscard]] virtual std::vector<std::string> providers() const = 0;
  /// What those can be opened on, without opening it. A provider that is not among them opens where
  /// its library likes.
  [[nodiscard]] virtual std::vector<DeviceInfo> devices() const { return {}; }
  /// The library beneath with its version, "libfabric 1.17"; empty where there is none.
  [[nodiscard]] virtual std::string library() const { return {}; }
  /// Throws Error(invalid_argument) where open() would, whatever the device: for an option that
  /// there is not, or a value that it never has.
  virtual void check(const std::string& provider, const Options& options) const {
    OptionReader reader(provider, options);
    reader.piece_size(0);
    reader.finish();
  }
  /// With options that check() takes. Throws Error: unknown_provider, unknown_interface,
  /// permission, …
  virtual std::unique_ptr<Domain> open(const DomainOptions& options) = 0;
};

/// The one symbol that a transport module exports: creates its Transport, or throws Error where
/// the library beneath it does not work on this host.
using ModuleEntry = Transport* (*)();
inline constexpr const char* kModuleSymbol = "grainfabric_transport_1";

}  // namespace grainfabric::transport
