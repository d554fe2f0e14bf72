// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/gst.h>

#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/event_loop.hpp"
#include "memory/region.hpp"
#include "session/stats.hpp"
#include "transport/options.hpp"

GST_DEBUG_CATEGORY_EXTERN(gst_fabric_debug);

#define GST_TYPE_FABRIC_POLLING (gst_fabric_polling_get_type())
GType gst_fabric_polling_get_type(void);

/// What both elements share: the properties that name a peer and a transport, their URI form
/// (fabric://HOST:PORT?property=value&…), and how statistics, peers and errors are told.
namespace fabric {

struct Settings {
  std::string host;  ///< fabricsink: the target. fabricsrc: the address to listen on, "" for all.
  guint port;
  std::string provider = "auto";
  std::string interface;
  guint slots;
  grainfabric::Polling polling = grainfabric::Polling::event;
  std::string cpus;                                       ///< Of the engine's thread.
  grainfabric::Pages pages = grainfabric::Pages::any;     ///< Of the pool or the ring.
  std::shared_ptr<const GstStructure> transport_options;  ///< Named after their provider, or null.
  /// Why the `uri` property could not be taken: a property cannot refuse, starting can.
  std::string uri_problem;
};

/// Property ids of the shared properties; an element's own begin at kFirstOwnProperty.
enum SharedProperty : guint {
  kPropertyHost = 1,  // "host" or "address"
  kPropertyPort,
  kPropertyUri,
  kPropertyProvider,
  kPropertyInterface,
  kPropertySlots,
  kPropertyPolling,
  kPropertyCpus,
  kPropertyHugePages,
  kPropertyTransportOptions,
  kPropertyStats,
  kFirstOwnProperty,
};

/// Installs them. `host_property` is "host" (which must be set) or "address" (which may be empty).
void install_shared_properties(GObjectClass* klass, const char* host_property,
                               const Settings& defaults, guint least_port, guint least_slots,
                               const char* slots_blurb);

/// Sets one of Settings; false for an id that is not of it (uri and stats included). The element
/// locks.
bool set_shared_property(Settings& settings, guint id, const GValue* value);
bool get_shared_property(const Settings& settings, guint id, GValue* value);

/// Takes a fabric:// URI apart: host and port into `settings`, the rest as properties of `element`.
bool set_uri(GstElement* element, Settings& settings, const gchar* uri, GError** error);
/// The same from the `uri` property: what is wrong with it waits in Settings::uri_problem.
void set_uri_property(GstElement* element, Settings& settings, const gchar* uri);
/// Throws Error(invalid_argument) with that problem, if there is one.
void check_uri(const Settings& settings);
/// `slices` is fabricsink's.
std::string get_uri(const Settings& settings, guint default_slots, guint slices = 1);

/// Settings::transport_options as the engine takes them. Throws Error(invalid_argument) for a value
/// that has no text.
grainfabric::transport::ProviderOptions transport_options(const Settings& settings);

/// What `stats` gives. `bytes_copied_by_element` adds to the engine's.
GstStructure* stats_structure(const grainfabric::Stats& stats, guint64 bytes_copied_by_element);

/// Logs `stats` as they are at the end of a stream (GST_DEBUG=fabric:4).
void log_final_stats(GstElement* element);

/// A peer came, went or was refused: a bus message "fabric-peer" (state, peer, provider, reason),
/// the signals peer-connected, peer-disconnected and peer-refused, and a warning where something
/// is wrong that heals.
void tell_peer(GstElement* element, const grainfabric::PeerChange& change);
void install_peer_signals(GObjectClass* klass);

/// GST_ELEMENT_ERROR with the engine's text, in the right domain.
void tell_error(GstElement* element, const grainfabric::Error& error);

}  // namespace fabric
