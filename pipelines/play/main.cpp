// SPDX-License-Identifier: Apache-2.0

/// Plays a file from one process to another, video and audio as two streams, and shows that what
/// arrives is what was sent. An example of an application around fabricsink (send.cpp) and
/// fabricsrc (receive.cpp); run.cpp is what both have in common. pipelines/demo.sh starts them.

#include <gst/gst.h>
#include <gst/pbutils/pbutils.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "receive.hpp"
#include "report.hpp"
#include "send.hpp"

namespace {

constexpr const char* kSummary =
    "COMMAND is one of\n"
    "  receive   waits for what is sent to it, and prints the ports on which it does\n"
    "  send      decodes a file and sends what --stream names of it\n"
    "  streams   says which streams a file has: video, audio\n"
    "  report    compares what receive and send left in the --report directory";

constexpr int kWrongUse = 2;

/// Prints which of "video" and "audio" are in the file.
int print_streams(const std::string& path) {
  GError* error = nullptr;
  const fabric::StringPtr uri(gst_filename_to_uri(path.c_str(), &error));
  fabric::ErrorPtr owner(error);
  if (!uri) throw std::runtime_error(error->message);
  const fabric::ObjectPtr<GstDiscoverer> discoverer(gst_discoverer_new(10 * GST_SECOND, nullptr));
  const fabric::ObjectPtr<GstDiscovererInfo> info(
      gst_discoverer_discover_uri(discoverer.get(), uri.get(), &error));
  owner.reset(error);
  if (error != nullptr) throw std::runtime_error(path + ": " + error->message);
  const auto print = [](GList* streams, const char* name) {
    if (streams != nullptr) std::puts(name);
    gst_discoverer_stream_info_list_free(streams);
    return streams != nullptr;
  };
  const bool video = print(gst_discoverer_info_get_video_streams(info.get()), "video");
  const bool audio = print(gst_discoverer_info_get_audio_streams(info.get()), "audio");
  if (!video && !audio) throw std::runtime_error(path + " has neither video nor audio");
  return 0;
}

/// "video=20886" of --stream. The port 0 is any free one, for the receiver.
std::pair<std::string, guint> parse_stream(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  guint64 port = 0;
  if ((name != "video" && name != "audio") || equals == std::string::npos ||
      !g_ascii_string_to_unsigned(text.c_str() + equals + 1, 10, 0, G_MAXUINT16, &port, nullptr)) {
    throw std::invalid_argument("\"" + text + "\" is not of the form video=PORT or audio=PORT");
  }
  return {name, static_cast<guint>(port)};
}

int run(int argc, char** argv) {
  play::Options options;
  gchar* host = nullptr;
  gchar* provider = nullptr;
  gchar* report = nullptr;
  gchar** streams = nullptr;
  gboolean fast = FALSE;
  gboolean quiet = FALSE;
  const GOptionEntry entries[] = {
      {"host", 0, 0, G_OPTION_ARG_STRING, &host, "Address to listen on, or to send to (127.0.0.1)",
       "HOST"},
      {"stream", 0, 0, G_OPTION_ARG_STRING_ARRAY, &streams,
       "A stream and its port, video=PORT or audio=PORT; may be given twice", "NAME=PORT"},
      {"provider", 0, 0, G_OPTION_ARG_STRING, &provider, "Transport (auto)", "NAME"},
      {"seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds,
       "Send this much, repeating the file if it is shorter (10); 0: the file once", "N"},
      {"fast", 0, 0, G_OPTION_ARG_NONE, &fast, "Send as fast as it goes, not in real time",
       nullptr},
      {"report", 0, 0, G_OPTION_ARG_FILENAME, &report, "Write what was seen into DIR", "DIR"},
      {"quiet", 0, 0, G_OPTION_ARG_NONE, &quiet, "No progress", nullptr},
      {},
  };
  const std::unique_ptr<GOptionContext, fabric::Released<g_option_context_free>> context(
      g_option_context_new("COMMAND [FILE]"));
  g_option_context_set_summary(context.get(), kSummary);
  g_option_context_add_main_entries(context.get(), entries, nullptr);
  g_option_context_add_group(context.get(), gst_init_get_option_group());
  GError* error = nullptr;
  const bool parsed = g_option_context_parse(context.get(), &argc, &argv, &error);
  const fabric::ErrorPtr error_owner(error);
  const fabric::StringPtr host_owner(host);
  const fabric::StringPtr provider_owner(provider);
  const fabric::StringPtr report_owner(report);
  const fabric::StringVectorPtr streams_owner(streams);
  if (!parsed) throw std::invalid_argument(error->message);

  if (host != nullptr) options.host = host;
  if (provider != nullptr) options.provider = provider;
  if (report != nullptr) options.report = report;
  options.fast = fast == TRUE;
  options.progress = quiet == FALSE;
  for (gchar** stream = streams; stream != nullptr && *stream != nullptr; ++stream) {
    options.ports.insert(parse_stream(*stream));
  }
  const std::string command = argc > 1 ? argv[1] : "";
  const bool has_file = argc > 2;
  if (has_file) options.file = argv[2];
  if (command == "streams" && has_file) return print_streams(options.file);
  if (command == "report" && !options.report.empty()) return play::report(options.report) ? 0 : 1;
  if (options.ports.empty()) options.ports = {{"video", 20886}, {"audio", 20887}};
  if (command == "send" && has_file) return play::Send(options).play();
  if (command == "receive") return play::Receive(options).play();
  const fabric::StringPtr help(g_option_context_get_help(context.get(), TRUE, nullptr));
  std::fputs(help.get(), stderr);
  return kWrongUse;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s: %s. See --help.\n", argv[0], error.what());
    return kWrongUse;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return EXIT_FAILURE;
  }
}
