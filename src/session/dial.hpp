// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "base/glib_ptr.hpp"
#include "session/initiator.hpp"

namespace grainfabric {

/// One attempt to open the control connection to a target: finds its address, connects from the
/// wanted interface, and takes no longer than one step of the handshake. Loop thread only.
class Dial {
 public:
  /// What comes of it: one of these, once. The dial may be destroyed in there.
  class Events {
   public:
    virtual void on_dialled(GObjectPtr<GSocketConnection> connection) = 0;
    virtual void on_dial_failed(const Error& reason) = 0;

   protected:
    ~Events() = default;
  };

  /// Begins. `events` is borrowed. Throws Error(unknown_interface).
  Dial(EventLoop& loop, const InitiatorOptions& options, Events& events);
  /// Gives up: no event follows.
  ~Dial();
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

 private:
  static void on_socket(GObject* client, GAsyncResult* result, gpointer dial);

  const std::string target_;
  Events& events_;
  /// What on_socket() finds its way back with; gone when nobody waits for it any more.
  std::shared_ptr<Dial*> self_ = std::make_shared<Dial*>(this);
  GObjectPtr<GCancellable> cancellable_{g_cancellable_new()};
  EventLoop::Source deadline_;
};

}  // namespace grainfabric
