// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "pair.hpp"
#include "raw_socket.hpp"
#include "session/protocol.hpp"

using namespace fabric::test;
using grainfabric::UniqueFd;
using std::chrono::milliseconds;

namespace {

const char* const kAnything = "application/x-anything";

/// The text of the error that a side posts, or "" if none comes.
std::string error_of(Side& side) {
  const fabric::MessagePtr message = side.wait_message(GST_MESSAGE_ERROR);
  if (!message) return {};
  GError* error = nullptr;
  gst_message_parse_error(message.get(), &error, nullptr);
  const fabric::ErrorPtr owner(error);
  return error->message;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A new sender gets three buffers through to `receiver`.
void serves_a_sender(Receiver& receiver) {
  Sender sender(receiver.port());
  const std::size_t before = receiver.buffers();
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  for (int i = 0; i < 3; ++i) fail_unless_equals_int(sender.push(buffer_of("grain")), GST_FLOW_OK);
  fail_unless(receiver.wait_buffers(before + 3));
}

std::string little_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFFU);
  return text;
}

std::string frame(unsigned type, std::uint32_t length, const std::string& body) {
  return "GFC1" + little_endian(type, 2) + little_endian(0, 2) + little_endian(length, 4) + body;
}

}  // namespace

GST_START_TEST(an_unknown_provider_is_an_error_that_lists_the_known_ones) {
  for (const char* factory : {"fabricsink", "fabricsrc"}) {
    Side side(factory, {{"provider", "carrier-pigeon"}});
    fail_unless(side.set_state(GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    const std::string text = error_of(side);
    fail_unless(contains(text, "carrier-pigeon") && contains(text, "udp"), "%s", text.c_str());
  }
}
GST_END_TEST

GST_START_TEST(an_option_that_a_transport_does_not_have_is_an_error_that_names_it) {
  for (const char* factory : {"fabricsink", "fabricsrc"}) {
    Side side(factory, {{"transport-options", "udp,max-wr=(int)64"}});
    fail_unless(side.set_state(GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    const std::string text = error_of(side);
    fail_unless(contains(text, "udp") && contains(text, "max-wr"), "%s", text.c_str());
  }
}
GST_END_TEST

GST_START_TEST(options_of_a_transport_that_is_not_here_do_no_harm) {
  const Properties unheard_of{{"transport-options", "carrier-pigeon,feathers=(int)3"}};
  Receiver receiver(unheard_of);
  receiver.start();
  serves_a_sender(receiver);
}
GST_END_TEST

GST_START_TEST(an_unknown_interface_is_an_error_that_lists_the_known_ones) {
  for (const char* factory : {"fabricsink", "fabricsrc"}) {
    Side side(factory, {{"interface", "eth99"}});
    fail_unless(side.set_state(GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    const std::string text = error_of(side);
    fail_unless(contains(text, "eth99") && contains(text, "127.0.0.1"), "%s", text.c_str());
  }
}
GST_END_TEST

GST_START_TEST(cpus_that_there_are_not_are_an_error_that_lists_those_there_are) {
  for (const char* factory : {"fabricsink", "fabricsrc"}) {
    for (const char* cpus : {"1023", "all"}) {
      Side side(factory, {{"cpus", cpus}});
      fail_unless(side.set_state(GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
      const std::string text = error_of(side);
      fail_unless(contains(text, cpus) && contains(text, "this process may use"), "%s",
                  text.c_str());
    }
  }
  const std::string any = "0-1023";
  Receiver receiver(Properties{{"cpus", any}});
  receiver.start();
  gchar* set = nullptr;
  g_object_get(receiver.element(), "cpus", &set, nullptr);
  fail_unless_equals_string(set, any.c_str());
  g_free(set);
  serves_a_sender(receiver);
}
GST_END_TEST

GST_START_TEST(a_port_in_use_is_an_error_that_names_it) {
  Receiver listening;
  listening.start();
  Receiver late({{"port", std::to_string(listening.port())}});
  fail_unless(late.set_state(GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE);
  const std::string text = error_of(late);
  fail_unless(contains(text, std::to_string(listening.port())) && contains(text, "in use"), "%s",
              text.c_str());
  serves_a_sender(listening);
}
GST_END_TEST

GST_START_TEST(a_host_without_an_address_is_an_error_that_names_it) {
  Sender sender(free_port(), {{"host", "no-such-host.invalid"}});
  sender.set_state(GST_STATE_PLAYING);
  const std::string text = error_of(sender);
  fail_unless(contains(text, "no-such-host.invalid"), "%s", text.c_str());
}
GST_END_TEST

GST_START_TEST(no_target_within_the_connect_timeout_is_an_error) {
  Sender sender(free_port(), {{"connect-timeout", "300"}});
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  fail_unless_equals_int(sender.push(buffer_of("waits, then fails")), GST_FLOW_ERROR);
  const std::string text = error_of(sender);
  fail_unless(contains(text, "300 ms") && contains(text, "127.0.0.1"), "%s", text.c_str());
}
GST_END_TEST

GST_START_TEST(a_lost_target_is_an_error_without_auto_reconnect) {
  auto receiver = std::make_unique<Receiver>();
  receiver->start();
  Sender sender(receiver->port(), {{"auto-reconnect", "false"}});
  sender.set_state(GST_STATE_PLAYING);
  fail_unless(sender.wait_peer("connected"));
  receiver.reset();
  fail_unless(contains(error_of(sender), "auto-reconnect"));
}
GST_END_TEST

GST_START_TEST(a_uri_that_cannot_be_taken_is_an_error_at_start) {
  for (const char* uri : {"http://127.0.0.1:1", "fabric://127.0.0.1:1?silly=1",
                          "fabric://127.0.0.1:1?slots=many", "fabric"}) {
    Side side("fabricsink", {{"uri", uri}});
    fail_unless(side.set_state(GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    fail_unless(contains(error_of(side), "fabric://"));
  }
}
GST_END_TEST

GST_START_TEST(what_is_no_fabricsink_is_refused_and_told) {
  Receiver receiver;
  receiver.start();
  std::string huge(200'000, 'x');
  std::minstd_rand random(7);
  std::string noise;
  for (int i = 0; i < 4096; ++i) noise += static_cast<char>(random());
  for (const std::string& rubbish :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), huge, noise,
        frame(1, 10U << 20U, "not that much"), frame(1, 0xFFFFFFFFU, ""), frame(1, 4, "abcd"),
        frame(1, 0, ""), frame(7, 0, ""), frame(999, 0, "") + frame(4, 0, "")}) {
    const UniqueFd stranger = connect_to(receiver.port());
    fail_unless(static_cast<bool>(stranger));
    send_to(stranger, rubbish);
    fail_unless(closes_within(stranger, kPatience), "still open after %zu bytes", rubbish.size());
    fail_unless(receiver.wait_peer("refused"));
  }
  fail_unless(receiver.stat("refused") >= 9);
  serves_a_sender(receiver);
}
GST_END_TEST

GST_START_TEST(a_peer_of_another_version_is_refused_in_words) {
  Receiver receiver;
  receiver.start();
  GVariantBuilder fields;
  g_variant_builder_init(&fields, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&fields, "{sv}", "version", g_variant_new_uint64(4711));
  const fabric::VariantPtr hello(g_variant_ref_sink(g_variant_builder_end(&fields)));
  const std::string body(static_cast<const char*>(g_variant_get_data(hello.get())),
                         g_variant_get_size(hello.get()));
  const UniqueFd stranger = connect_to(receiver.port());
  send_to(stranger, frame(1, static_cast<std::uint32_t>(body.size()), body));
  const fabric::MessagePtr message = receiver.wait_message(GST_MESSAGE_WARNING);
  fail_unless(message != nullptr);
  GError* error = nullptr;
  gst_message_parse_warning(message.get(), &error, nullptr);
  const fabric::ErrorPtr owner(error);
  fail_unless(contains(error->message, "4711"), "%s", error->message);
  fail_unless(closes_within(stranger, kPatience));
}
GST_END_TEST

GST_START_TEST(a_slow_trickle_ends_at_the_deadline_and_holds_nobody_up) {
  Receiver receiver;
  receiver.start();
  const UniqueFd stranger = connect_to(receiver.port());
  std::atomic<bool> stop = false;
  std::thread trickle([&] {
    // A frame that begins well and never ends.
    const std::string bytes = frame(1, 60'000, std::string(60'000, 'x'));
    for (std::size_t i = 0; i < bytes.size() && !stop; ++i) {
      if (!send_to(stranger, bytes.substr(i, 1))) break;
      std::this_thread::sleep_for(milliseconds(100));
    }
  });
  serves_a_sender(receiver);
  fail_unless(closes_within(stranger, grainfabric::protocol::kHandshakeStep + kPatience));
  stop = true;
  trickle.join();
}
GST_END_TEST

GST_START_TEST(strangers_do_not_disturb_a_stream) {
  Receiver receiver({}, Receiver::Keep::nothing);
  receiver.start();
  Sender sender(receiver.port());
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  std::vector<UniqueFd> silent;
  std::minstd_rand random(11);
  constexpr unsigned kRounds = 60;
  for (unsigned i = 0; i < kRounds; ++i) {
    UniqueFd stranger = connect_to(receiver.port());
    if (i % 3 == 0) {
      silent.push_back(std::move(stranger));
    } else {
      std::string rubbish = i % 3 == 1 ? "GFC1" : "";
      for (int j = 0; j < 100; ++j) rubbish += static_cast<char>(random());
      send_to(stranger, rubbish);
    }
    fail_unless_equals_int(sender.push(buffer_of("grain")), GST_FLOW_OK);
  }
  fail_unless(receiver.wait_buffers(kRounds));
  fail_unless_equals_uint64(sender.stat("reconnects"), 0);
  fail_unless_equals_uint64(sender.stat("grains-lost"), 0);
}
GST_END_TEST

GST_START_TEST(a_server_of_another_kind_is_told_and_tried_again) {
  auto [server, port] = listen_anywhere();
  std::thread answering([fd = server.get()] {
    for (int i = 0; i < 3; ++i) {
      const UniqueFd client(::accept(fd, nullptr, nullptr));
      if (!client) return;
      send_to(client, i == 1 ? std::string("GFC1\x02\x00\x00\x00\xFF\xFF\xFF\x7F", 12)
                             : std::string("HTTP/1.1 400 Bad Request\r\n\r\n"));
      closes_within(client, kPatience);
    }
  });
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  fail_unless(sender.wait_peer("refused"));
  answering.join();  // it came three times
  fail_unless(sender.wait_message(GST_MESSAGE_ERROR, milliseconds(0)) == nullptr);
}
GST_END_TEST

GST_START_TEST(a_second_sender_is_refused_while_one_is_served_and_takes_over_later) {
  Receiver receiver(Properties{{"keep-listening", "true"}});
  receiver.start();
  auto served = std::make_unique<Sender>(receiver.port());
  served->set_state(GST_STATE_PLAYING);
  served->begin(kAnything);
  fail_unless_equals_int(served->push(buffer_of("first")), GST_FLOW_OK);
  fail_unless(receiver.wait_buffers(1));
  Sender waiting(receiver.port());
  waiting.set_state(GST_STATE_PLAYING);
  fail_unless(waiting.wait_peer("refused"));
  fail_unless(receiver.wait_peer("refused"));
  fail_unless_equals_int(served->push(buffer_of("first")), GST_FLOW_OK);
  fail_unless(receiver.wait_buffers(2));
  served.reset();
  waiting.begin(kAnything, "test/second");
  fail_unless_equals_int(waiting.push(buffer_of("second")), GST_FLOW_OK);
  fail_unless(receiver.wait_buffers(3));
}
GST_END_TEST

GST_START_TEST(a_ring_that_memory_cannot_hold_is_the_senders_error) {
  if (is_local()) return;  // it takes memory picture by picture
  Receiver receiver;
  receiver.start();
  Sender sender(receiver.port(), {{"slots", "1024"}});
  sender.set_state(GST_STATE_PLAYING);
  // 1024 slots of 512 MiB.
  sender.begin("video/x-raw,format=RGBA64_LE,width=8192,height=8192,framerate=1/1");
  const std::string text = error_of(sender);
  fail_unless(contains(text, "available") && contains(text, "slots"), "%s", text.c_str());
  fail_unless(receiver.wait_peer("refused"));
  fail_unless(receiver.wait_peer("disconnected"));
  serves_a_sender(receiver);
}
GST_END_TEST

GST_START_TEST(caps_that_downstream_does_not_take_are_an_error_that_says_them) {
  GError* problem = nullptr;
  const fabric::ElementPtr pipeline(GST_ELEMENT(gst_object_ref_sink(gst_parse_launch(
      "fabricsrc name=s address=127.0.0.1 port=0 ! audio/x-raw ! fakesink", &problem))));
  fail_unless(problem == nullptr);
  const fabric::ElementPtr source(gst_bin_get_by_name(GST_BIN(pipeline.get()), "s"));
  g_object_set(source.get(), "provider", provider().c_str(), nullptr);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  guint port = 0;
  g_object_get(source.get(), "current-port", &port, nullptr);
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  sender.begin(kAnything);
  sender.push(buffer_of("no audio"));
  GstBus* bus = GST_ELEMENT_BUS(pipeline.get());
  const fabric::MessagePtr message(gst_bus_timed_pop_filtered(
      bus, static_cast<GstClockTime>(kPatience.count()) * GST_MSECOND, GST_MESSAGE_ERROR));
  fail_unless(message != nullptr);
  GError* error = nullptr;
  gst_message_parse_error(message.get(), &error, nullptr);
  const fabric::ErrorPtr owner(error);
  fail_unless(contains(error->message, kAnything), "%s", error->message);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}
GST_END_TEST

static Suite* bad_input_suite() {
  Suite* suite = suite_create("bad_input");
  TCase* cases = tcase_create("bad_input");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, an_unknown_provider_is_an_error_that_lists_the_known_ones);
  tcase_add_test(cases, an_option_that_a_transport_does_not_have_is_an_error_that_names_it);
  tcase_add_test(cases, options_of_a_transport_that_is_not_here_do_no_harm);
  tcase_add_test(cases, an_unknown_interface_is_an_error_that_lists_the_known_ones);
  tcase_add_test(cases, cpus_that_there_are_not_are_an_error_that_lists_those_there_are);
  tcase_add_test(cases, a_port_in_use_is_an_error_that_names_it);
  tcase_add_test(cases, a_host_without_an_address_is_an_error_that_names_it);
  tcase_add_test(cases, no_target_within_the_connect_timeout_is_an_error);
  tcase_add_test(cases, a_lost_target_is_an_error_without_auto_reconnect);
  tcase_add_test(cases, a_uri_that_cannot_be_taken_is_an_error_at_start);
  tcase_add_test(cases, what_is_no_fabricsink_is_refused_and_told);
  tcase_add_test(cases, a_peer_of_another_version_is_refused_in_words);
  tcase_add_test(cases, a_slow_trickle_ends_at_the_deadline_and_holds_nobody_up);
  tcase_add_test(cases, strangers_do_not_disturb_a_stream);
  tcase_add_test(cases, a_server_of_another_kind_is_told_and_tried_again);
  tcase_add_test(cases, a_second_sender_is_refused_while_one_is_served_and_takes_over_later);
  tcase_add_test(cases, a_ring_that_memory_cannot_hold_is_the_senders_error);
  tcase_add_test(cases, caps_that_downstream_does_not_take_are_an_error_that_says_them);
  return suite;
}

GST_CHECK_MAIN(bad_input)
