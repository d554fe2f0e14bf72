// SPDX-License-Identifier: Apache-2.0
#include "session/target.hpp"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "memory/numa.hpp"
#include "session/target_link.hpp"
#include "transport/choice.hpp"
#include "transport/interface.hpp"
#include "transport/local/local.hpp"
#include "transport/table.hpp"

namespace grainfabric {
namespace {

/// Connections that have not said HELLO yet; for one more the oldest has to go, so that nobody can
/// make this side collect them, nor keep those out who say HELLO at once.
constexpr std::size_t kMaxStrangers = 16;
/// Connections that wait for an accept: GLib's 10 fill up under a port scan, and who comes then
/// waits a second for TCP to try again.
constexpr int kBacklog = 128;
/// Pause after a failed accept (out of descriptors): the listening socket stays readable meanwhile.
constexpr std::chrono::milliseconds kAcceptPause{100};
/// Earlier sessions whose grains wait for a pipeline that is paused while its peer comes and goes;
/// those of still earlier ones are dropped, or their rings would fill the memory.
constexpr std::uint64_t kMostWaitingSessions = 3;
/// How long after a pop() the loop leaves it to the next one to see what comes. Short beside
/// protocol::kStall, long beside a frame: each time it is over costs a wake-up of the loop.
constexpr std::chrono::milliseconds kAttendance{100};

/// The numeric address to listen on. Blocks on a name server where `address` is a name.
GObjectPtr<GInetAddress> resolve(const std::string& address) {
  if (GInetAddress* numeric = g_inet_address_new_from_string(address.c_str())) {
    return GObjectPtr<GInetAddress>(numeric);
  }
  const GObjectPtr<GResolver> resolver(g_resolver_get_default());
  GErrorSlot error;
  GList* list = g_resolver_lookup_by_name(resolver.get(), address.c_str(), nullptr, error.out());
  if (list == nullptr) {
    throw Error(ErrorCode::unresolvable, "Cannot listen on \"" + address + "\": " + error.message(),
                "Give an address of this host, or leave the address empty for all.");
  }
  GObjectPtr<GInetAddress> first(G_INET_ADDRESS(g_object_ref(list->data)));
  g_resolver_free_addresses(list);
  return first;
}

}  // namespace

/// The loop-thread half: listens, admits one initiator at a time, remembers its stream.
class TargetCore final : public std::enable_shared_from_this<TargetCore>, public TargetLink::Owner {
 public:
  TargetCore(EventLoop& loop, TargetOptions options, std::shared_ptr<Inbox> inbox,
             TargetEvents& events)
      : loop_(loop), options_(std::move(options)), inbox_(std::move(inbox)), events_(events) {}

  std::uint16_t listen(GInetAddress* address);
  void finish();
  void send_upstream(const StreamEvent& event) {
    if (active_) active_->send_upstream(event);
  }
  void send_status() {
    if (active_) active_->send_status();
  }

 private:
  void accept();
  static void on_accepted(GObject* listener, GAsyncResult* result, gpointer self);
  void welcome_stranger(GObjectPtr<GSocketConnection> connection);

  std::unique_ptr<transport::Domain> admit(TargetLink& link, const protocol::Hello& hello,
                                           protocol::Welcome& welcome) override;
  std::unique_ptr<transport::Domain> open_domain(const TargetLink& link,
                                                 const protocol::Hello& hello,
                                                 protocol::Welcome& welcome) const;
  void on_link_ended(TargetLink& link, const Error& reason, bool orderly) override;
  void on_refused(TargetLink& link, const Error& reason) override;
  void on_slices(const SliceProgress& progress) override { events_.on_slices(progress); }
  void session_over();
  void forget(TargetLink& link);

  EventLoop& loop_;
  const TargetOptions options_;
  const std::shared_ptr<Inbox> inbox_;
  TargetEvents& events_;
  GObjectPtr<GSocketListener> listener_;
  GObjectPtr<GCancellable> cancellable_{g_cancellable_new()};
  EventLoop::Source accept_again_;
  std::vector<std::shared_ptr<TargetLink>> strangers_;
  std::shared_ptr<TargetLink> active_;
  Token last_stream_;
  std::uint64_t last_delivered_ = 0;  // of it
  /// All before is delivered or in stats.lost. A WELCOME may never be heard: what it says is not
  /// delivered by that, and the next one says the same.
  std::uint64_t last_accounted_ = 0;
  bool finished_ = false;
};

std::uint16_t TargetCore::listen(GInetAddress* address) {
  listener_.reset(g_socket_listener_new());
  g_socket_listener_set_backlog(listener_.get(), kBacklog);
  const GObjectPtr<GSocketAddress> wanted(g_inet_socket_address_new(address, options_.port));
  GSocketAddress* bound = nullptr;
  GErrorSlot error;
  if (g_socket_listener_add_address(listener_.get(), wanted.get(), G_SOCKET_TYPE_STREAM,
                                    G_SOCKET_PROTOCOL_TCP, nullptr, &bound, error.out()) != TRUE) {
    const GlibPtr<char> text(g_inet_address_to_string(address));
    const std::string what = "Cannot listen on " + std::string(text.get()) + " port " +
                             std::to_string(options_.port) + ": " + error.message();
    if (error.is(G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE)) {
      throw Error(ErrorCode::address_in_use, what,
                  "Choose another port, or port=0 for any free one.");
    }
    throw Error(error.is(G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED) ? ErrorCode::permission
                                                                   : ErrorCode::unknown_interface,
                what, "Is that an address of this host?");
  }
  const GObjectPtr<GSocketAddress> owner(bound);
  accept();
  return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
}

void TargetCore::accept() {
  g_socket_listener_accept_async(listener_.get(), cancellable_.get(), on_accepted,
                                 new std::weak_ptr<TargetCore>(weak_from_this()));
}

void TargetCore::on_accepted(GObject* listener, GAsyncResult* result, gpointer data) {
  const std::unique_ptr<std::weak_ptr<TargetCore>> attempt(
      static_cast<std::weak_ptr<TargetCore>*>(data));
  GErrorSlot error;
  GObjectPtr<GSocketConnection> connection(
      g_socket_listener_accept_finish(G_SOCKET_LISTENER(listener), result, nullptr, error.out()));
  const std::shared_ptr<TargetCore> self = attempt->lock();
  if (!self || self->finished_) return;
  if (connection) {
    self->welcome_stranger(std::move(connection));
    self->accept();
  } else {
    log(LogLevel::warning, "session",
        std::string("Cannot accept a connection: ") + error.message());
    self->accept_again_ = self->loop_.after(kAcceptPause, [core = self.get()] { core->accept(); });
  }
}

void TargetCore::welcome_stranger(GObjectPtr<GSocketConnection> connection) {
  if (strangers_.size() >= kMaxStrangers) {
    strangers_.front()->refuse(Error(
        ErrorCode::busy,
        "Too many connections without HELLO: " + strangers_.front()->peer() + " is the oldest"));
  }
  strangers_.push_back(
      std::make_shared<TargetLink>(loop_, std::move(connection), options_, *inbox_, *this));
}

std::unique_ptr<transport::Domain> TargetCore::open_domain(const TargetLink& link,
                                                           const protocol::Hello& hello,
                                                           protocol::Welcome& welcome) const {
  const auto& table = transport::Table::shared();
  const transport::PathFacts path =
      transport::facts_of(options_.interface.empty() ? link.local_address() : options_.interface);
  const auto own =
      transport::offers(options_.provider, table.providers_for(options_.provider), path);
  const bool one_host =
      hello.host_hint == transport::local::same_host_hint(transport::options_of(
                             options_.transport_options, transport::local::kProvider));
  const auto common = transport::common_providers(own, hello.offers, one_host);
  std::string passed_over = hello.passed_over;
  if (common.size() < transport::common_providers(own, hello.offers).size()) {
    passed_over +=
        "; not local: the two are on different hosts or in network namespaces without a "
        "common socket-directory";
  }
  for (const std::string& provider : common) {
    try {
      transport::DomainOptions options;
      options.provider = provider;
      options.local_address =
          options_.interface.empty()
              ? link.local_address()
              : transport::local_address_of(options_.interface, link.local_address());
      options.options = transport::options_of(options_.transport_options, provider);
      auto domain = table.open(options);
      welcome.provider = provider;
      welcome.reason = "first of the target's [" + transport::join_names(own) + "] (MTU " +
                       std::to_string(path.mtu) + (path.tcp_is_paced ? ", TCP is paced" : "") +
                       ") that the initiator offers [" + transport::join_names(hello.offers) + "]" +
                       passed_over;
      return domain;
    } catch (const Error& error) {
      if (common.size() == 1) throw;
      passed_over += "; not " + provider + ": " + error.what();
    }
  }
  throw Error(ErrorCode::unknown_provider,
              "No common transport: the target has [" + transport::join_names(own) +
                  "], the initiator offers [" + transport::join_names(hello.offers) + "]" +
                  passed_over,
              "Set provider alike on both sides, or leave it at auto.");
}

std::unique_ptr<transport::Domain> TargetCore::admit(TargetLink& link, const protocol::Hello& hello,
                                                     protocol::Welcome& welcome) {
  if (active_ && !(active_->stream() == hello.stream)) {
    throw Error(ErrorCode::busy, "This target serves " + active_->peer() + " already",
                "Start another fabricsrc on another port.");
  }
  auto domain = open_domain(link, hello, welcome);
  if (active_) {
    // The same initiator comes back before this side noticed that it was gone.
    const std::shared_ptr<TargetLink> old = active_;
    old->finish("the initiator came back on a new connection");
    on_link_ended(*old, Error(ErrorCode::disconnected, "The initiator came back"), false);
  }
  welcome.known = last_stream_.matches(hello.stream);
  if (!welcome.known) last_delivered_ = 0;
  welcome.last_sequence = last_delivered_;
  const auto found = std::find_if(strangers_.begin(), strangers_.end(),
                                  [&](const auto& stranger) { return stranger.get() == &link; });
  active_ = *found;
  strangers_.erase(found);
  std::vector<Inbox::Item> dropped;  // their leases end without the lock
  {
    const std::lock_guard lock(inbox_->mutex);
    Stats& stats = inbox_->stats;
    if (inbox_->session++ > 0) ++stats.reconnects;
    inbox_->events_taken = 0;
    // Each has a ring of its own. What it brings is told again, as far as it is sticky.
    dropped = inbox_->drop([last = inbox_->session](const Inbox::Item& item) {
      return item.session + kMostWaitingSessions < last;
    });
    for (const Inbox::Item& item : dropped) {
      if (std::holds_alternative<IncomingGrain>(item.incoming)) ++stats.dropped;
    }
    if (welcome.known && hello.next_sequence > last_accounted_ + 1) {
      stats.lost += hello.next_sequence - last_accounted_ - 1;
    }
    stats.provider = welcome.provider;
    stats.provider_reason = welcome.reason;
    stats.interface = domain->capabilities().interface;
    stats.peer = link.peer();
  }
  last_stream_ = hello.stream;
  last_accounted_ = hello.next_sequence - 1;
  log(LogLevel::info, "session",
      "Session with " + link.peer() + ": " + welcome.provider + " (" + welcome.reason + ")");
  events_.on_peer({PeerChange::Kind::connected, link.peer(), welcome.provider, welcome.reason});
  return domain;
}

void TargetCore::session_over() {
  const std::lock_guard lock(inbox_->mutex);
  Stats& stats = inbox_->stats;
  stats.provider.clear();
  stats.provider_reason.clear();
  stats.interface.clear();
  stats.peer.clear();
  stats.credits = stats.slots = 0;
}

void TargetCore::forget(TargetLink& link) {
  const auto same = [&](const auto& other) { return other.get() == &link; };
  // Its last reference may be this one, and it may be in the middle of a call.
  if (same(active_)) {
    const std::uint64_t last = link.expected() - 1;
    if (last > last_accounted_) last_delivered_ = last_accounted_ = last;
    session_over();
    loop_.post([gone = std::move(active_)] {});
    active_.reset();
  }
  const auto found = std::find_if(strangers_.begin(), strangers_.end(), same);
  if (found != strangers_.end()) {
    loop_.post([gone = *found] {});
    strangers_.erase(found);
  }
}

void TargetCore::on_link_ended(TargetLink& link, const Error& reason, bool orderly) {
  const std::string peer = link.peer();
  forget(link);
  log(LogLevel::info, "session",
      "Session with " + peer + (orderly ? " is over: " : " is lost: ") + reason.what());
  if (!finished_) {
    events_.on_peer({PeerChange::Kind::disconnected, peer, {}, reason.what(), orderly});
  }
}

void TargetCore::on_refused(TargetLink& link, const Error& reason) {
  const std::string peer = link.peer();
  if (!link.welcomed()) forget(link);
  if (reason.code() == ErrorCode::disconnected) {
    // Port scanners and health checks connect and go: not worth a word to anybody.
    log(LogLevel::debug, "session", reason.what());
    return;
  }
  {
    const std::lock_guard lock(inbox_->mutex);
    ++inbox_->stats.refused;
  }
  log(LogLevel::warning, "session", "Refused " + peer + ": " + reason.what());
  if (!finished_) events_.on_peer({PeerChange::Kind::refused, peer, {}, reason.what()});
}

void TargetCore::finish() {
  finished_ = true;
  accept_again_.reset();
  g_cancellable_cancel(cancellable_.get());
  if (listener_) g_socket_listener_close(listener_.get());
  for (const auto& stranger : strangers_) stranger->finish({});
  strangers_.clear();
  if (active_) active_->finish("the target stops");
  active_.reset();
}

struct Target::Impl {
  std::shared_ptr<EventLoop> loop;
  TargetOptions options;
  std::shared_ptr<Inbox> inbox;
  std::shared_ptr<TargetCore> core;
  std::atomic<std::uint16_t> port = 0;
};

Target::Target(TargetOptions options, TargetEvents& events, std::shared_ptr<EventLoop> loop)
    : impl_(std::make_unique<Impl>()) {
  if (options.slots != 0 && (options.slots < kMinSlots || options.slots > kMaxSlots)) {
    throw Error(ErrorCode::invalid_argument,
                "A ring of " + std::to_string(options.slots) + " slots is not possible",
                "Use " + std::to_string(kMinSlots) + " to " + std::to_string(kMaxSlots) +
                    ", or 0 for what the initiator asks for.");
  }
  transport::require_offers(options.provider);
  transport::Table::shared().check(options.transport_options);
  if (!options.interface.empty()) transport::local_address_of(options.interface);
  look_for_numa_nodes();
  impl_->loop = std::move(loop);
  impl_->inbox = std::make_shared<Inbox>(impl_->loop, options.polling);
  impl_->options = options;
  impl_->core =
      std::make_shared<TargetCore>(*impl_->loop, std::move(options), impl_->inbox, events);
}

Target::~Target() {
  // The session first: slots that a flush gives back would bring grains that nobody takes any more,
  // and the initiator would count them as arrived.
  impl_->loop->call([this] { impl_->core->finish(); });
  set_flushing(true);
  impl_->loop->call([] {});  // what finish() posted has run, too
}

void Target::start() {
  const std::string& address = impl_->options.address;
  if (!address.empty()) {
    const auto resolved = resolve(address);
    impl_->loop->call([&] { impl_->port = impl_->core->listen(resolved.get()); });
    return;
  }
  impl_->loop->call([&] {
    const GObjectPtr<GInetAddress> any6(g_inet_address_new_any(G_SOCKET_FAMILY_IPV6));
    try {
      impl_->port = impl_->core->listen(any6.get());
    } catch (const Error& error) {
      if (error.code() == ErrorCode::address_in_use || error.code() == ErrorCode::permission) throw;
      const GObjectPtr<GInetAddress> any4(g_inet_address_new_any(G_SOCKET_FAMILY_IPV4));
      impl_->port = impl_->core->listen(any4.get());  // a host without IPv6
    }
  });
}

std::uint16_t Target::port() const noexcept {
  return impl_->port;
}

std::optional<Incoming> Target::pop(std::chrono::milliseconds timeout) {
  Inbox& inbox = *impl_->inbox;
  std::unique_lock lock(inbox.mutex);
  inbox.wait_until(lock, Inbox::Clock::now() + timeout, kAttendance,
                   [&] { return inbox.flushing || !inbox.items.empty(); });
  if (inbox.flushing || inbox.items.empty()) return std::nullopt;
  Inbox::Item item = inbox.items.pop_front();
  bool report = false;
  if (std::holds_alternative<StreamEvent>(item.incoming) && item.session == inbox.session) {
    // Often enough that the initiator's window never closes on a target that keeps up.
    report = ++inbox.events_taken % (protocol::kEventWindow / 4) == 0;
  }
  lock.unlock();
  if (report) impl_->loop->post([core = impl_->core] { core->send_status(); });
  return std::move(item.incoming);
}

void Target::set_flushing(bool flushing) {
  Inbox& inbox = *impl_->inbox;
  std::vector<Inbox::Item> dropped;  // their leases end without the lock
  {
    const std::lock_guard lock(inbox.mutex);
    inbox.flushing = flushing;
    if (flushing) {
      // A sticky event is what the grains after the flush are, and is not sent again.
      dropped = inbox.drop([](const Inbox::Item& item) {
        const auto* event = std::get_if<StreamEvent>(&item.incoming);
        return event == nullptr || !event->sticky;
      });
    }
  }
  inbox.notify();
}

void Target::send_upstream(StreamEvent event) {
  impl_->loop->post([core = impl_->core, sent = std::move(event)] { core->send_upstream(sent); });
}

Stats Target::stats() const {
  const std::lock_guard lock(impl_->inbox->mutex);
  Stats stats = impl_->inbox->stats;
  stats.latency_p50 = impl_->inbox->latency.quantile(0.50);
  stats.latency_p99 = impl_->inbox->latency.quantile(0.99);
  return stats;
}

}  // namespace grainfabric
