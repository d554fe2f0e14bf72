// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>
#include <memory>

#include "pair.hpp"

using namespace fabric::test;
using fabric::ElementPtr;
using fabric::StructurePtr;

namespace {

constexpr const char* kElements[] = {"fabricsink", "fabricsrc"};

ElementPtr make(const char* factory) {
  return ElementPtr(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make(factory, nullptr))));
}

std::vector<GParamSpec*> own_properties(GstElement* element) {
  guint count = 0;
  const std::unique_ptr<GParamSpec*, fabric::Released<g_free>> all(
      g_object_class_list_properties(G_OBJECT_GET_CLASS(element), &count));
  std::vector<GParamSpec*> own;
  for (guint i = 0; i < count; ++i) {
    if (all.get()[i]->owner_type == G_OBJECT_TYPE(element)) own.push_back(all.get()[i]);
  }
  return own;
}

bool takes(GstElement* element, const char* property, guint value) {
  GParamSpec* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), property);
  fabric::Value checked;
  g_value_init(checked.get(), G_TYPE_UINT);
  g_value_set_uint(checked.get(), value);
  return g_param_value_validate(spec, checked.get()) == FALSE;  // changed nothing
}

std::string uri_of(Side& side) {
  gchar* uri = nullptr;
  g_object_get(side.element(), "uri", &uri, nullptr);
  const fabric::StringPtr owner(uri);
  return uri;
}

/// What the issue promises of `stats`.
void expect_fields(const GstStructure* stats) {
  for (const char* name : {"grains", "bytes", "bytes-copied", "grains-dropped", "grains-lost",
                           "reconnects", "credits", "latency-p50", "latency-p99"}) {
    guint64 value = 0;
    fail_unless(gst_structure_get_uint64(stats, name, &value), "no %s", name);
  }
  fail_unless(gst_structure_get_string(stats, "provider") != nullptr);
}

}  // namespace

GST_START_TEST(each_element_describes_itself) {
  const char* name = kElements[__i__];
  GstElementFactory* factory = gst_element_factory_find(name);
  fail_unless(factory != nullptr);
  for (const char* key : {GST_ELEMENT_METADATA_LONGNAME, GST_ELEMENT_METADATA_DESCRIPTION,
                          GST_ELEMENT_METADATA_AUTHOR}) {
    const gchar* text = gst_element_factory_get_metadata(factory, key);
    fail_unless(text != nullptr && *text != '\0', "%s", key);
  }
  fail_unless_equals_string(gst_element_factory_get_metadata(factory, GST_ELEMENT_METADATA_KLASS),
                            __i__ == 0 ? "Sink/Network" : "Source/Network");
  const GList* templates = gst_element_factory_get_static_pad_templates(factory);
  fail_unless_equals_int(g_list_length(const_cast<GList*>(templates)), 1);
  auto* pad = static_cast<GstStaticPadTemplate*>(templates->data);
  fail_unless(pad->presence == GST_PAD_ALWAYS);
  fail_unless_equals_string(pad->static_caps.string, "ANY");
  const gchar* const* protocols = gst_element_factory_get_uri_protocols(factory);
  fail_unless(protocols != nullptr && g_strv_contains(protocols, "fabric"));
  fail_unless_equals_int(gst_element_factory_get_uri_type(factory),
                         __i__ == 0 ? GST_URI_SINK : GST_URI_SRC);
  gst_object_unref(factory);
}
GST_END_TEST

GST_START_TEST(each_element_has_its_properties_with_words_to_them) {
  const ElementPtr element = make(kElements[__i__]);
  const std::vector<const char*> wanted =
      __i__ == 0 ? std::vector<const char*>{"host",
                                            "port",
                                            "uri",
                                            "provider",
                                            "interface",
                                            "slots",
                                            "transport-options",
                                            "leaky",
                                            "wait-for-connection",
                                            "auto-reconnect",
                                            "connect-timeout",
                                            "slices",
                                            "register-memory",
                                            "cpus",
                                            "stats"}
                 : std::vector<const char*>{"address",           "port",           "uri",
                                            "provider",          "interface",      "slots",
                                            "transport-options", "timestamp-mode", "keep-listening",
                                            "timeout",           "cpus",           "stats"};
  for (const char* name : wanted) {
    fail_unless(g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), name) != nullptr,
                "no %s", name);
  }
  for (GParamSpec* spec : own_properties(element.get())) {
    fail_unless(std::strlen(g_param_spec_get_nick(spec)) > 2, "%s", spec->name);
    fail_unless(std::strlen(g_param_spec_get_blurb(spec)) > 10, "%s", spec->name);
    fabric::Value value;
    g_value_init(value.get(), spec->value_type);
    if ((spec->flags & G_PARAM_READABLE) != 0) {
      g_object_get_property(G_OBJECT(element.get()), spec->name, value.get());
    }
    // What it begins with is what gst-inspect says; the URI is made of the others.
    const bool made = std::strcmp(spec->name, "uri") == 0 || std::strcmp(spec->name, "stats") == 0;
    fail_unless(made || g_param_value_defaults(spec, value.get()), "%s", spec->name);
  }
}
GST_END_TEST

GST_START_TEST(numbers_out_of_range_are_not_taken) {
  const ElementPtr sink = make("fabricsink");
  const ElementPtr source = make("fabricsrc");
  fail_if(takes(sink.get(), "port", 0));
  fail_unless(takes(source.get(), "port", 0));
  fail_if(takes(sink.get(), "slots", 1));
  fail_unless(takes(source.get(), "slots", 0));
  fail_if(takes(sink.get(), "slices", 0));
  fail_unless(takes(sink.get(), "slices", 1));
  fail_unless(takes(sink.get(), "slices", 4320));
  fail_if(takes(sink.get(), "slices", 4321));
  for (GstElement* element : {sink.get(), source.get()}) {
    fail_unless(takes(element, "port", 65535));
    fail_if(takes(element, "port", 65536));
    fail_unless(takes(element, "slots", 1024));
    fail_if(takes(element, "slots", 1025));
  }
}
GST_END_TEST

GST_START_TEST(a_uri_that_makes_no_sense_is_refused_in_words) {
  for (const char* name : kElements) {
    const ElementPtr element = make(name);
    for (const char* uri :
         {"fabric", "srt://host:1", "fabric://host:1?no-such=1", "fabric://host:1?slots=many",
          "fabric://host:1?slots=5000", "fabric://host:1?slices=0", "fabric://host:1?stats=1",
          "fabric://host:1?uri=fabric://x:1", "fabric://host:1?slots", "fabric://host:99999"}) {
      GError* problem = nullptr;
      fail_if(gst_uri_handler_set_uri(GST_URI_HANDLER(element.get()), uri, &problem), "%s took %s",
              name, uri);
      const fabric::ErrorPtr owner(problem);
      fail_unless(problem != nullptr && problem->domain == GST_URI_ERROR, "%s", uri);
      fail_unless(std::strlen(problem->message) > 10);
    }
  }
}
GST_END_TEST

GST_START_TEST(uris_and_properties_say_the_same) {
  GError* error = nullptr;
  const fabric::ElementPtr sink(GST_ELEMENT(gst_object_ref_sink(gst_element_make_from_uri(
      GST_URI_SINK,
      "fabric://[fd00::7]:4242?provider=tcp%3Bofi_rxm&slots=5&leaky=upstream&slices=9", nullptr,
      &error))));
  fail_unless(sink != nullptr && error == nullptr);
  gchar* host = nullptr;
  gchar* name = nullptr;
  guint port = 0;
  guint slots = 0;
  guint slices = 0;
  gint leaky = 0;
  g_object_get(sink.get(), "host", &host, "port", &port, "provider", &name, "slots", &slots,
               "leaky", &leaky, "slices", &slices, nullptr);
  const fabric::StringPtr host_owner(host);
  const fabric::StringPtr name_owner(name);
  fail_unless_equals_string(host, "fd00::7");
  fail_unless_equals_string(name, "tcp;ofi_rxm");
  fail_unless_equals_int(port, 4242);
  fail_unless_equals_int(slots, 5);
  fail_unless_equals_int(leaky, 1);
  fail_unless_equals_int(slices, 9);
  const fabric::StringPtr back(gst_uri_handler_get_uri(GST_URI_HANDLER(sink.get())));
  fail_unless(std::string(back.get()).find("fabric://[fd00::7]:4242?") == 0, "%s", back.get());
  fail_unless(std::string(back.get()).find("slices=9") != std::string::npos, "%s", back.get());

  Receiver receiver;
  g_object_set(receiver.element(), "uri", "fabric://:5151", "provider", "auto", nullptr);
  fail_unless(uri_of(receiver) == "fabric://:5151");
  fail_if(gst_uri_handler_set_uri(GST_URI_HANDLER(receiver.element()), "srt://x", nullptr));
}
GST_END_TEST

GST_START_TEST(an_element_that_was_never_started_goes_without_trace) {
  for (const char* name : kElements) {
    ElementPtr element = make(name);
    GstStructure* stats = nullptr;
    g_object_get(element.get(), "stats", &stats, nullptr);
    const StructurePtr owner(stats);
    expect_fields(stats);
    gst_check_object_destroyed_on_unref(element.release());
  }
}
GST_END_TEST

GST_START_TEST(latency_is_answered_as_a_live_source_that_drops_nothing) {
  Receiver receiver;
  receiver.start();
  const fabric::PadPtr pad(gst_element_get_static_pad(receiver.element(), "src"));
  const fabric::QueryPtr query(gst_query_new_latency());
  fail_unless(gst_pad_query(pad.get(), query.get()));
  gboolean live = FALSE;
  GstClockTime least = GST_CLOCK_TIME_NONE;
  GstClockTime most = 0;
  gst_query_parse_latency(query.get(), &live, &least, &most);
  fail_unless(live);
  fail_unless_equals_uint64(least, 0);
  fail_unless_equals_uint64(most, GST_CLOCK_TIME_NONE);
}
GST_END_TEST

GST_START_TEST(a_seek_is_refused) {
  Receiver receiver;
  receiver.start();
  fail_if(gst_element_seek_simple(receiver.element(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0));
  const fabric::QueryPtr query(gst_query_new_seeking(GST_FORMAT_TIME));
  const fabric::PadPtr pad(gst_element_get_static_pad(receiver.element(), "src"));
  fail_unless(gst_pad_query(pad.get(), query.get()));
  gboolean seekable = TRUE;
  gst_query_parse_seeking(query.get(), nullptr, &seekable, nullptr, nullptr);
  fail_if(seekable);
}
GST_END_TEST

GST_START_TEST(stats_name_the_peer_and_what_it_got) {
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin("application/x-anything");
  for (int i = 0; i < 5; ++i) sender.push(buffer_of("12345678"));
  fail_unless(receiver.wait_buffers(5));
  const Side* sides[] = {&sender, &receiver};
  for (const Side* side : sides) {
    fail_unless_equals_uint64(side->stat("grains"), 5);
    fail_unless_equals_uint64(side->stat("bytes"), 40);
    fail_unless(eventually([&] { return side->stat("latency-p99") > 0; }));
    fail_unless(side->stat("latency-p50") <= side->stat("latency-p99"));
    fail_unless(eventually([&] { return side->stat("credits") == side->stat("slots"); }));
    const StructurePtr stats = side->stats();
    expect_fields(stats.get());
    const std::string chosen = gst_structure_get_string(stats.get(), "provider");
    fail_unless(chosen == provider());
    const GValue* peers = gst_structure_get_value(stats.get(), "peers");
    fail_unless_equals_int(gst_value_array_get_size(peers), 1);
    const GstStructure* peer = gst_value_get_structure(gst_value_array_get_value(peers, 0));
    expect_fields(peer);
    const std::string address = gst_structure_get_string(peer, "peer");
    fail_unless(address.rfind("127.0.0.1:", 0) == 0);
  }
}
GST_END_TEST

GST_START_TEST(peers_that_come_and_go_are_told_by_signal_and_message) {
  std::atomic<int> connected = 0;
  std::atomic<int> disconnected = 0;
  Receiver receiver;
  const auto count = +[](GstElement*, const gchar* peer, const gchar* why, gpointer number) {
    fail_unless(peer != nullptr && why != nullptr);
    ++*static_cast<std::atomic<int>*>(number);
  };
  g_signal_connect(receiver.element(), "peer-connected", G_CALLBACK(count), &connected);
  g_signal_connect(receiver.element(), "peer-disconnected", G_CALLBACK(count), &disconnected);
  receiver.start();
  for (int i = 1; i <= 2; ++i) {
    Sender sender(receiver.port());
    sender.set_state(GST_STATE_PLAYING);
    fail_unless(receiver.wait_peer("connected"));
    fail_unless(sender.wait_peer("connected"));
    sender.set_state(GST_STATE_NULL);
    fail_unless(receiver.wait_peer("disconnected"));
    fail_unless(eventually([&] { return connected == i && disconnected == i; }));
  }
  // A peer that leaves in order is nothing to warn of.
  fail_unless(receiver.wait_message(GST_MESSAGE_WARNING, std::chrono::milliseconds(0)) == nullptr);
  const StructurePtr stats = receiver.stats();
  fail_unless_equals_int(gst_value_array_get_size(gst_structure_get_value(stats.get(), "peers")),
                         0);
}
GST_END_TEST

namespace {

Suite* description_suite() {
  Suite* suite = suite_create("description");
  TCase* cases = tcase_create("description");
  tcase_add_loop_test(cases, each_element_describes_itself, 0, 2);
  tcase_add_loop_test(cases, each_element_has_its_properties_with_words_to_them, 0, 2);
  tcase_add_test(cases, numbers_out_of_range_are_not_taken);
  tcase_add_test(cases, a_uri_that_makes_no_sense_is_refused_in_words);
  tcase_add_test(cases, uris_and_properties_say_the_same);
  tcase_add_test(cases, an_element_that_was_never_started_goes_without_trace);
  tcase_add_test(cases, latency_is_answered_as_a_live_source_that_drops_nothing);
  tcase_add_test(cases, a_seek_is_refused);
  tcase_add_test(cases, stats_name_the_peer_and_what_it_got);
  tcase_add_test(cases, peers_that_come_and_go_are_told_by_signal_and_message);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

GST_CHECK_MAIN(description)
