// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <json-glib/json-glib.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>

#include "base/glib_ptr.hpp"

namespace grainfabric::tool {

/// Builds a JSON document with json-glib: json.object([&] { json.add("name", value); … }).
class Json {
 public:
  Json() = default;

  template <typename Members>
  void object(Members members) {
    json_builder_begin_object(builder_.get());
    members();
    json_builder_end_object(builder_.get());
  }
  template <typename Members>
  void object(const char* name, Members members) {
    json_builder_set_member_name(builder_.get(), name);
    object(members);
  }
  /// `each` is called with an element and adds one value.
  template <typename List, typename Each>
  void array(const char* name, const List& list, Each each) {
    json_builder_set_member_name(builder_.get(), name);
    json_builder_begin_array(builder_.get());
    for (const auto& element : list) each(element);
    json_builder_end_array(builder_.get());
  }
  template <typename Value>
  void add(const char* name, const Value& value) {
    json_builder_set_member_name(builder_.get(), name);
    add(value);
  }
  void add(const std::string& text) { json_builder_add_string_value(builder_.get(), text.c_str()); }
  void add(bool value) { json_builder_add_boolean_value(builder_.get(), value); }
  void add(std::integral auto number) {
    json_builder_add_int_value(builder_.get(), static_cast<gint64>(number));
  }
  void add(std::nullptr_t) { json_builder_add_null_value(builder_.get()); }
  void add(double number) { json_builder_add_double_value(builder_.get(), number); }

  /// Of a complete document.
  [[nodiscard]] std::string text() const {
    const std::unique_ptr<JsonNode, decltype(&json_node_unref)> root(
        json_builder_get_root(builder_.get()), &json_node_unref);
    return GlibPtr<char>(json_to_string(root.get(), TRUE)).get();
  }

 private:
  GObjectPtr<JsonBuilder> builder_{json_builder_new()};
};

}  // namespace grainfabric::tool
