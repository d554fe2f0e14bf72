// SPDX-License-Identifier: Apache-2.0
#include "gstfabricsettings.hpp"

#include <memory>

#include "gstptr.hpp"

#define GST_CAT_DEFAULT gst_fabric_debug

using grainfabric::ErrorCode;
using grainfabric::Pages;
using grainfabric::PeerChange;
using grainfabric::Polling;
using grainfabric::Stats;

GType gst_fabric_polling_get_type(void) {
  static const GEnumValue values[] = {
      {static_cast<gint>(Polling::event), "Sleep until something happens", "event"},
      {static_cast<gint>(Polling::adaptive), "Spin for a moment after each grain, then sleep",
       "adaptive"},
      {static_cast<gint>(Polling::busy), "Always spin: least latency, one whole core", "busy"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstFabricPolling", values);
  return type;
}

namespace fabric {
namespace {

constexpr auto kReady =
    static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);

/// A warning for a refused peer at most this often: a port scanner must not flood the bus.
constexpr gint64 kRefusalInterval = G_USEC_PER_SEC;

std::string string_of(const GValue* value) {
  const gchar* text = g_value_get_string(value);
  return text != nullptr ? text : "";
}

std::shared_ptr<const GstStructure> copy_of(const GstStructure* structure) {
  if (structure == nullptr) return nullptr;
  return {gst_structure_copy(structure), Released<gst_structure_free>()};
}

const char* state_of(PeerChange::Kind kind) {
  switch (kind) {
    case PeerChange::Kind::connected:
      return "connected";
    case PeerChange::Kind::disconnected:
      return "disconnected";
    case PeerChange::Kind::refused:
      break;
  }
  return "refused";
}

/// Whether a property takes that number as it is.
bool is_value_of(GstElement* element, const char* property, guint number) {
  GParamSpec* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), property);
  fabric::Value value;
  g_value_init(value.get(), G_TYPE_UINT);
  g_value_set_uint(value.get(), number);
  return g_param_value_validate(spec, value.get()) == FALSE;
}

bool refusal_is_due(GstElement* element) {
  static const GQuark quark = g_quark_from_static_string("fabric-last-refusal");
  const gint64 now = g_get_monotonic_time();
  const auto last = reinterpret_cast<gintptr>(g_object_get_qdata(G_OBJECT(element), quark));
  if (last != 0 && now - last < kRefusalInterval) return false;
  g_object_set_qdata(G_OBJECT(element), quark,
                     reinterpret_cast<gpointer>(static_cast<gintptr>(now)));
  return true;
}

}  // namespace

void install_shared_properties(GObjectClass* klass, const char* host_property,
                               const Settings& defaults, guint least_port, guint least_slots,
                               const char* slots_blurb) {
  const bool listens = std::string(host_property) == "address";
  g_object_class_install_property(
      klass, kPropertyHost,
      g_param_spec_string(host_property, listens ? "Address" : "Host",
                          listens ? "Address of this host to listen on; empty: all, IPv6 and IPv4"
                                  : "Name or address of the host where fabricsrc listens",
                          defaults.host.c_str(), kReady));
  g_object_class_install_property(
      klass, kPropertyPort,
      g_param_spec_uint("port", "Port",
                        listens ? "TCP port of the control channel; 0: any free one (current-port)"
                                : "TCP port of the target's control channel",
                        least_port, 65535, defaults.port, kReady));
  g_object_class_install_property(
      klass, kPropertyUri,
      g_param_spec_string("uri", "URI", "fabric://HOST:PORT?property=value&…", nullptr, kReady));
  g_object_class_install_property(
      klass, kPropertyProvider,
      g_param_spec_string(
          "provider", "Provider",
          "Transport, or several in order of preference, with commas: auto, local, "
          "verbs, udp, tcp, \"tcp;ofi_rxm\", shm, efa, or ofi:NAME for any other of "
          "libfabric's",
          defaults.provider.c_str(), kReady));
  g_object_class_install_property(
      klass, kPropertyInterface,
      g_param_spec_string(
          "interface", "Interface",
          "Interface or local address for the data; empty: by the route to the peer", nullptr,
          kReady));
  g_object_class_install_property(
      klass, kPropertySlots,
      g_param_spec_uint("slots", "Slots", slots_blurb, least_slots, 1024, defaults.slots, kReady));
  g_object_class_install_property(
      klass, kPropertyPolling,
      g_param_spec_enum("polling", "Polling", "How to wait for the transport",
                        GST_TYPE_FABRIC_POLLING, static_cast<gint>(defaults.polling), kReady));
  g_object_class_install_property(
      klass, kPropertyCpus,
      g_param_spec_string("cpus", "CPUs",
                          "CPUs that the engine's thread may run on, like \"2\" or \"0-3,8\"; "
                          "empty: any. Elements of one process with the same share one thread",
                          nullptr, kReady));
  g_object_class_install_property(
      klass, kPropertyHugePages,
      g_param_spec_boolean("huge-pages", "Huge pages",
                           listens ? "Make the ring of huge pages, all of it at once (Linux 6.1)"
                                   : "Make the pool that is offered upstream of huge pages, all of "
                                     "it at once (Linux 6.1)",
                           FALSE, kReady));
  g_object_class_install_property(
      klass, kPropertyTransportOptions,
      g_param_spec_boxed("transport-options", "Transport options",
                         "Options of one transport, which names the structure: "
                         "\"verbs,max-wr=512,traffic-class=106\"; they go before those of the "
                         "configuration file",
                         GST_TYPE_STRUCTURE, kReady));
  g_object_class_install_property(
      klass, kPropertyStats,
      g_param_spec_boxed("stats", "Statistics",
                         "grains, bytes, bytes-copied, grains-dropped, grains-lost, reconnects, "
                         "credits, latency-p50, latency-p99 (ns), provider, peers and more",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

bool set_shared_property(Settings& settings, guint id, const GValue* value) {
  switch (id) {
    case kPropertyHost:
      settings.host = string_of(value);
      return true;
    case kPropertyPort:
      settings.port = g_value_get_uint(value);
      return true;
    case kPropertyProvider:
      settings.provider = string_of(value);
      return true;
    case kPropertyInterface:
      settings.interface = string_of(value);
      return true;
    case kPropertySlots:
      settings.slots = g_value_get_uint(value);
      return true;
    case kPropertyPolling:
      settings.polling = static_cast<Polling>(g_value_get_enum(value));
      return true;
    case kPropertyCpus:
      settings.cpus = string_of(value);
      return true;
    case kPropertyHugePages:
      settings.pages = g_value_get_boolean(value) != FALSE ? Pages::huge : Pages::any;
      return true;
    case kPropertyTransportOptions:
      settings.transport_options = copy_of(gst_value_get_structure(value));
      return true;
    default:
      return false;
  }
}

bool get_shared_property(const Settings& settings, guint id, GValue* value) {
  switch (id) {
    case kPropertyHost:
      g_value_set_string(value, settings.host.c_str());
      return true;
    case kPropertyPort:
      g_value_set_uint(value, settings.port);
      return true;
    case kPropertyProvider:
      g_value_set_string(value, settings.provider.c_str());
      return true;
    case kPropertyInterface:
      g_value_set_string(value, settings.interface.empty() ? nullptr : settings.interface.c_str());
      return true;
    case kPropertySlots:
      g_value_set_uint(value, settings.slots);
      return true;
    case kPropertyPolling:
      g_value_set_enum(value, static_cast<gint>(settings.polling));
      return true;
    case kPropertyCpus:
      g_value_set_string(value, settings.cpus.empty() ? nullptr : settings.cpus.c_str());
      return true;
    case kPropertyHugePages:
      g_value_set_boolean(value, settings.pages == Pages::huge);
      return true;
    case kPropertyTransportOptions:
      gst_value_set_structure(value, settings.transport_options.get());
      return true;
    default:
      return false;
  }
}

bool set_uri(GstElement* element, Settings& settings, const gchar* uri, GError** error) {
  const MiniObjectPtr<GstUri> parsed(uri != nullptr ? gst_uri_from_string(uri) : nullptr);
  const gchar* scheme = parsed ? gst_uri_get_scheme(parsed.get()) : nullptr;
  if (scheme == nullptr || g_ascii_strcasecmp(scheme, "fabric") != 0) {
    g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI,
                "\"%s\" is not of the form fabric://HOST:PORT?property=value", uri ? uri : "");
    return false;
  }
  const guint port = gst_uri_get_port(parsed.get());
  if (port != GST_URI_NO_PORT && !is_value_of(element, "port", port)) {
    g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI, "%u in %s is not a port to use", port,
                uri);
    return false;
  }
  const std::unique_ptr<GHashTable, Released<g_hash_table_unref>> query(
      gst_uri_get_query_table(parsed.get()));
  if (query) {
    GHashTableIter iter;
    gpointer key = nullptr;
    gpointer value = nullptr;
    g_hash_table_iter_init(&iter, query.get());
    while (g_hash_table_iter_next(&iter, &key, &value)) {
      const auto* name = static_cast<const gchar*>(key);
      GParamSpec* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), name);
      fabric::Value converted;
      if (spec == nullptr || (spec->flags & G_PARAM_WRITABLE) == 0 || value == nullptr ||
          g_str_equal(name, "uri")) {
        g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_REFERENCE,
                    "\"%s\" in %s is not a property that can be set", name, uri);
        return false;
      }
      g_value_init(converted.get(), spec->value_type);
      if (!gst_value_deserialize(converted.get(), static_cast<const gchar*>(value)) ||
          g_param_value_validate(spec, converted.get())) {
        g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_REFERENCE,
                    "\"%s\" is not a value for \"%s\" in %s", static_cast<const gchar*>(value),
                    name, uri);
        return false;
      }
      g_object_set_property(G_OBJECT(element), name, converted.get());
    }
  }
  const gchar* host = gst_uri_get_host(parsed.get());
  GST_OBJECT_LOCK(element);
  settings.host = host != nullptr ? host : "";
  if (port != GST_URI_NO_PORT) settings.port = port;
  GST_OBJECT_UNLOCK(element);
  return true;
}

void set_uri_property(GstElement* element, Settings& settings, const gchar* uri) {
  GError* problem = nullptr;
  const bool taken = set_uri(element, settings, uri, &problem);
  const ErrorPtr owner(problem);
  GST_OBJECT_LOCK(element);
  settings.uri_problem = taken ? std::string() : problem->message;
  GST_OBJECT_UNLOCK(element);
}

void check_uri(const Settings& settings) {
  if (settings.uri_problem.empty()) return;
  throw grainfabric::Error(ErrorCode::invalid_argument, settings.uri_problem,
                           "Example: fabric://receiver.example:20886?provider=tcp");
}

std::string get_uri(const Settings& settings, guint default_slots, guint slices) {
  const MiniObjectPtr<GstUri> uri(gst_uri_new("fabric", nullptr, settings.host.c_str(),
                                              settings.port, nullptr, nullptr, nullptr));
  if (settings.provider != "auto") {
    gst_uri_set_query_value(uri.get(), "provider", settings.provider.c_str());
  }
  if (!settings.interface.empty()) {
    gst_uri_set_query_value(uri.get(), "interface", settings.interface.c_str());
  }
  if (settings.slots != default_slots) {
    gst_uri_set_query_value(uri.get(), "slots", std::to_string(settings.slots).c_str());
  }
  if (slices != 1) {
    gst_uri_set_query_value(uri.get(), "slices", std::to_string(slices).c_str());
  }
  const StringPtr text(gst_uri_to_string(uri.get()));
  return text.get();
}

grainfabric::transport::ProviderOptions transport_options(const Settings& settings) {
  const GstStructure* structure = settings.transport_options.get();
  if (structure == nullptr) return {};
  grainfabric::transport::Options options;
  for (gint i = 0; i < gst_structure_n_fields(structure); ++i) {
    const gchar* name = gst_structure_nth_field_name(structure, static_cast<guint>(i));
    const GValue* value = gst_structure_get_value(structure, name);
    const StringPtr text(G_VALUE_HOLDS_STRING(value) ? g_value_dup_string(value)
                                                     : gst_value_serialize(value));
    if (!text) {
      throw grainfabric::Error(
          ErrorCode::invalid_argument,
          std::string("transport-options has a ") + G_VALUE_TYPE_NAME(value) + " as " + name,
          "Give a number or a string.");
    }
    options.emplace(name, text.get());
  }
  return {{gst_structure_get_name(structure), options}};
}

GstStructure* stats_structure(const Stats& stats, guint64 bytes_copied_by_element) {
  const auto fields = [&](const char* name) {
    return gst_structure_new(
        name, "grains", G_TYPE_UINT64, stats.grains, "bytes", G_TYPE_UINT64, stats.bytes,
        "bytes-copied", G_TYPE_UINT64, stats.bytes_copied + bytes_copied_by_element,
        "grains-copied", G_TYPE_UINT64, stats.grains_copied, "grains-foreign", G_TYPE_UINT64,
        stats.grains_foreign, "grains-dropped", G_TYPE_UINT64, stats.dropped, "grains-lost",
        G_TYPE_UINT64, stats.lost, "reconnects", G_TYPE_UINT64, stats.reconnects, "refused",
        G_TYPE_UINT64, stats.refused, "credits", G_TYPE_UINT64, stats.credits, "slots",
        G_TYPE_UINT64, stats.slots, "epoch", G_TYPE_UINT64, stats.epoch, "latency-p50",
        G_TYPE_UINT64, stats.latency_p50, "latency-p99", G_TYPE_UINT64, stats.latency_p99,
        "provider", G_TYPE_STRING, stats.provider.c_str(), "provider-reason", G_TYPE_STRING,
        stats.provider_reason.c_str(), "interface", G_TYPE_STRING, stats.interface.c_str(),
        nullptr);
  };
  GstStructure* structure = fields("application/x-fabric-stats");
  fabric::Value peers;
  gst_value_array_init(peers.get(), 1);
  if (!stats.peer.empty()) {
    const StructurePtr peer(fields("application/x-fabric-peer-stats"));
    gst_structure_set(peer.get(), "peer", G_TYPE_STRING, stats.peer.c_str(), nullptr);
    fabric::Value entry;
    g_value_init(entry.get(), GST_TYPE_STRUCTURE);
    gst_value_set_structure(entry.get(), peer.get());
    gst_value_array_append_value(peers.get(), entry.get());
  }
  gst_structure_set_value(structure, "peers", peers.get());
  return structure;
}

void log_final_stats(GstElement* element) {
  GstStructure* stats = nullptr;
  g_object_get(element, "stats", &stats, nullptr);
  const StructurePtr owner(stats);
  GST_INFO_OBJECT(element, "At the end: %" GST_PTR_FORMAT, stats);
}

void install_peer_signals(GObjectClass* klass) {
  const GType type = G_TYPE_FROM_CLASS(klass);
  // (element, peer as "host:port", why: the chosen provider, or the reason)
  for (const char* name : {"peer-connected", "peer-disconnected", "peer-refused"}) {
    g_signal_new(name, type, G_SIGNAL_RUN_LAST, 0, nullptr, nullptr, nullptr, G_TYPE_NONE, 2,
                 G_TYPE_STRING, G_TYPE_STRING);
  }
}

void tell_peer(GstElement* element, const PeerChange& change) {
  const char* state = state_of(change.kind);
  gst_element_post_message(
      element,
      gst_message_new_element(
          GST_OBJECT(element),
          gst_structure_new("fabric-peer", "state", G_TYPE_STRING, state, "peer", G_TYPE_STRING,
                            change.peer.c_str(), "provider", G_TYPE_STRING, change.provider.c_str(),
                            "reason", G_TYPE_STRING, change.reason.c_str(), nullptr)));
  const std::string signal = std::string("peer-") + state;
  const bool connected = change.kind == PeerChange::Kind::connected;
  g_signal_emit_by_name(element, signal.c_str(), change.peer.c_str(),
                        connected ? change.provider.c_str() : change.reason.c_str());
  if (change.kind == PeerChange::Kind::refused && refusal_is_due(element)) {
    GST_ELEMENT_WARNING(element, RESOURCE, OPEN_READ_WRITE,
                        ("No session with %s: %s", change.peer.c_str(), change.reason.c_str()),
                        (nullptr));
  } else if (change.kind == PeerChange::Kind::disconnected && !change.orderly) {
    GST_ELEMENT_WARNING(
        element, RESOURCE, READ,
        ("The session with %s is lost: %s", change.peer.c_str(), change.reason.c_str()),
        ("Waiting for the peer to come back."));
  }
}

void tell_error(GstElement* element, const grainfabric::Error& error) {
  const std::string debug = std::string("code: ") + to_string(error.code());
  switch (error.code()) {
    case ErrorCode::invalid_argument:
    case ErrorCode::unknown_provider:
    case ErrorCode::unknown_interface:
    case ErrorCode::unsupported:
      GST_ELEMENT_ERROR(element, RESOURCE, SETTINGS, ("%s", error.what()), ("%s", debug.c_str()));
      break;
    case ErrorCode::address_in_use:
      GST_ELEMENT_ERROR(element, RESOURCE, BUSY, ("%s", error.what()), ("%s", debug.c_str()));
      break;
    case ErrorCode::permission:
      GST_ELEMENT_ERROR(element, RESOURCE, NOT_AUTHORIZED, ("%s", error.what()),
                        ("%s", debug.c_str()));
      break;
    case ErrorCode::no_memory:
    case ErrorCode::locked_memory_limit:
      GST_ELEMENT_ERROR(element, RESOURCE, NO_SPACE_LEFT, ("%s", error.what()),
                        ("%s", debug.c_str()));
      break;
    case ErrorCode::unresolvable:
    case ErrorCode::unreachable:
    case ErrorCode::timed_out:
      GST_ELEMENT_ERROR(element, RESOURCE, NOT_FOUND, ("%s", error.what()), ("%s", debug.c_str()));
      break;
    default:
      GST_ELEMENT_ERROR(element, RESOURCE, OPEN_READ_WRITE, ("%s", error.what()),
                        ("%s", debug.c_str()));
      break;
  }
}

}  // namespace fabric
