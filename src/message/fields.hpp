// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/export.hpp"
#include "base/glib_ptr.hpp"
#include "base/token.hpp"

namespace grainfabric {

/// The typed metadata of a message: writes the fields of an a{sv}.
class GRAINFABRIC_API FieldWriter {
 public:
  FieldWriter();
  ~FieldWriter();
  FieldWriter(const FieldWriter&) = delete;
  FieldWriter& operator=(const FieldWriter&) = delete;

  FieldWriter& add(const char* name, std::uint64_t value);
  FieldWriter& add(const char* name, const std::string& value);
  FieldWriter& add(const char* name, const std::vector<std::string>& value);
  FieldWriter& add(const char* name, std::span<const std::byte> value);
  FieldWriter& add(const char* name, const Token& value);
  /// The a{sv}; the writer is empty afterwards.
  GlibPtr<GVariant> finish();

 private:
  GVariantBuilder builder_;
};

/// Reads the fields of an a{sv} that came from a peer. A field of another type counts as absent;
/// a required one that is absent throws Error(protocol) naming it. Unknown fields are ignored.
class GRAINFABRIC_API FieldReader {
 public:
  /// Borrows `fields`, of type a{sv} and in normal form. `message` names it in errors.
  FieldReader(GVariant* fields, const char* message);
  ~FieldReader();
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  std::uint64_t number(const char* name) const;
  std::uint64_t number(const char* name, std::uint64_t otherwise) const;
  /// Required, and within [least, most].
  std::uint64_t number_within(const char* name, std::uint64_t least, std::uint64_t most) const;
  std::string text(const char* name, const std::string& otherwise = {}) const;
  std::vector<std::string> texts(const char* name) const;
  std::vector<std::byte> bytes(const char* name) const;
  /// Required: 16 bytes.
  Token token(const char* name) const;

 private:
  [[noreturn]] void malformed(const char* name, const char* why) const;

  GVariantDict dict_;
  const char* message_;
};

}  // namespace grainfabric
