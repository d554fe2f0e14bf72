// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/glib_ptr.hpp"
#include "built.hpp"

/// The program under test, as a user or a script starts it.
namespace grainfabric::test {

using Arguments = std::vector<std::string>;

inline std::string tool() {
  return built("../../src/tool/grainfabric");
}

/// A running one; killed with its object.
class Program {
 public:
  explicit Program(const Arguments& arguments) {
    const std::string program = tool();
    std::vector<const char*> argv = {program.c_str()};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    argv.push_back(nullptr);
    GErrorSlot error;
    process_.reset(g_subprocess_newv(
        argv.data(),
        GSubprocessFlags(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE),
        error.out()));
    if (!process_) throw std::runtime_error(error.message());
    lines_.reset(g_data_input_stream_new(g_subprocess_get_stdout_pipe(process_.get())));
  }
  ~Program() {
    signal(SIGKILL);
    g_subprocess_wait(process_.get(), nullptr, nullptr);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] pid_t pid() const {
    const char* id = g_subprocess_get_identifier(process_.get());
    if (id == nullptr) throw std::runtime_error("it has ended");
    return static_cast<pid_t>(std::stol(id));
  }
  void signal(int number) { g_subprocess_send_signal(process_.get(), number); }

  /// The next line of its output; blocks until there is one. "" at its end.
  std::string line() {
    const GlibPtr<char> text(
        g_data_input_stream_read_line(lines_.get(), nullptr, nullptr, nullptr));
    return text ? text.get() : "";
  }
  /// Reads lines until one has `word`; returns that one, or "" at its end.
  std::string line_with(const std::string& word) {
    for (;;) {
      std::string text = line();
      if (text.empty() || text.find(word) != std::string::npos) return text;
    }
  }

  /// Waits for its end: the exit code, or -signal. The rest of its output is then in `out`, `err`.
  int wait() {
    out = rest_of(G_INPUT_STREAM(lines_.get()));
    err = rest_of(g_subprocess_get_stderr_pipe(process_.get()));
    g_subprocess_wait(process_.get(), nullptr, nullptr);
    return g_subprocess_get_if_exited(process_.get()) == TRUE
               ? g_subprocess_get_exit_status(process_.get())
               : -g_subprocess_get_term_sig(process_.get());
  }
  std::string out;
  std::string err;

 private:
  static std::string rest_of(GInputStream* stream) {
    std::string text;
    char part[4096];
    gssize got = 0;
    while ((got = g_input_stream_read(stream, part, sizeof part, nullptr, nullptr)) > 0) {
      text.append(part, static_cast<std::size_t>(got));
    }
    return text;
  }

  GObjectPtr<GSubprocess> process_;
  GObjectPtr<GDataInputStream> lines_;
};

/// A JSON document, and where in it one looks: json["results"][0]["size"].
class JsonValue {
 public:
  explicit JsonValue(const std::string& text) {
    GErrorSlot error;
    JsonNode* root = json_from_string(text.c_str(), error.out());
    if (root == nullptr) throw std::runtime_error(std::string("no JSON: ") + error.message());
    node_.reset(root, &json_node_unref);
  }

  JsonValue operator[](const char* member) const {
    if (!JSON_NODE_HOLDS_OBJECT(node_.get())) throw std::runtime_error("not an object");
    JsonNode* found = json_object_get_member(json_node_get_object(node_.get()), member);
    if (found == nullptr) throw std::runtime_error(std::string("no member ") + member);
    return JsonValue(found, node_);
  }
  [[nodiscard]] std::vector<JsonValue> elements() const {
    if (!JSON_NODE_HOLDS_ARRAY(node_.get())) throw std::runtime_error("not an array");
    JsonArray* array = json_node_get_array(node_.get());
    std::vector<JsonValue> all;
    for (guint i = 0; i < json_array_get_length(array); ++i) {
      all.push_back(JsonValue(json_array_get_element(array, i), node_));
    }
    return all;
  }
  [[nodiscard]] bool is_null() const { return json_node_is_null(node_.get()) == TRUE; }
  [[nodiscard]] std::string text() const {
    const char* text = json_node_get_string(node_.get());
    if (text == nullptr) throw std::runtime_error("not a text");
    return text;
  }
  [[nodiscard]] double number() const { return json_node_get_double(node_.get()); }
  [[nodiscard]] bool is_true() const { return json_node_get_boolean(node_.get()) == TRUE; }

 private:
  /// Borrowed from `root`, which lives as long.
  JsonValue(JsonNode* node, std::shared_ptr<JsonNode> root) : node_(std::move(root), node) {}

  std::shared_ptr<JsonNode> node_;
};

}  // namespace grainfabric::test
