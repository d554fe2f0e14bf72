// SPDX-License-Identifier: Apache-2.0
//
// One side of a stream (streams.hpp) in a process of its own, for tests that need two. It stays
// until its input ends, or it is killed.
//
//     peer send PORT STREAM COUNT INTERVAL_US   COUNT buffers (0: for ever), then EOS: "sent"
//     peer receive PORT STREAM                  "port N"; for each buffer "buffer N ok" or
//                                               "buffer N WHAT DIFFERS", then "eos"; "discont N"
//                                               first where it has that flag
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "pair.hpp"
#include "streams.hpp"

namespace {

using namespace fabric::test;

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void wait_for_end_of_input() {
  char ignored = 0;
  while (::read(STDIN_FILENO, &ignored, 1) > 0) {
  }
}

int send(guint port, const Stream& stream, unsigned count, unsigned interval) {
  Sender sender(port);
  sender.set_state(GST_STATE_PLAYING);
  std::thread feed([&] {
    sender.begin(stream.caps.front());
    for (unsigned i = 0; count == 0 || i < count; ++i) {
      if (i > 0 && i % kBuffersPerCaps == 0) {
        sender.push(gst_event_new_caps(stream.caps_at(i).get()));
      }
      if (sender.push(stream.buffer(i)) != GST_FLOW_OK) return;
      ::usleep(interval);
    }
    sender.push(gst_event_new_eos());
    say("sent");
  });
  wait_for_end_of_input();
  sender.set_state(GST_STATE_NULL);
  feed.join();
  return 0;
}

int receive(guint port, const Stream& stream) {
  Receiver receiver({{"port", std::to_string(port)}, {"keep-listening", "true"}},
                    Receiver::Keep::nothing);
  receiver.on_buffer = [&](GstBuffer* buffer) {
    const auto number = static_cast<unsigned>(GST_BUFFER_OFFSET(buffer));
    if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT)) {
      say("discont " + std::to_string(number));
    }
    const std::string different =
        difference(stream.buffer(number).get(), buffer, GST_BUFFER_FLAGS(buffer));
    say("buffer " + std::to_string(number) + " " + (different.empty() ? "ok" : different));
  };
  receiver.start();
  say("port " + std::to_string(receiver.port()));
  wait_for_end_of_input();
  receiver.set_state(GST_STATE_NULL);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  const std::vector<std::string> words(argv, argv + argc);
  if (words.size() == 6 && words[1] == "send") {
    return send(static_cast<guint>(std::stoul(words[2])), stream(words[3]),
                static_cast<unsigned>(std::stoul(words[4])),
                static_cast<unsigned>(std::stoul(words[5])));
  }
  if (words.size() == 4 && words[1] == "receive") {
    return receive(static_cast<guint>(std::stoul(words[2])), stream(words[3]));
  }
  std::fprintf(stderr, "peer: see peer.cpp\n");
  return 2;
}
