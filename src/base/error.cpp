// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace grainfabric {
namespace {

constexpr std::array<std::pair<ErrorCode, const char*>, 17> kNames{{
    {ErrorCode::invalid_argument, "invalid-argument"},
    {ErrorCode::unknown_provider, "unknown-provider"},
    {ErrorCode::unknown_interface, "unknown-interface"},
    {ErrorCode::address_in_use, "address-in-use"},
    {ErrorCode::unresolvable, "unresolvable"},
    {ErrorCode::unreachable, "unreachable"},
    {ErrorCode::timed_out, "timed-out"},
    {ErrorCode::protocol, "protocol"},
    {ErrorCode::version, "version"},
    {ErrorCode::refused, "refused"},
    {ErrorCode::busy, "busy"},
    {ErrorCode::no_memory, "no-memory"},
    {ErrorCode::locked_memory_limit, "locked-memory-limit"},
    {ErrorCode::permission, "permission"},
    {ErrorCode::disconnected, "disconnected"},
    {ErrorCode::unsupported, "unsupported"},
    {ErrorCode::io, "io"},
}};

ErrorCode code_of_errno(int error_number) {
  switch (error_number) {
    case EADDRINUSE:
      return ErrorCode::address_in_use;
    case EADDRNOTAVAIL:
    case ENODEV:
      return ErrorCode::unknown_interface;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ECONNREFUSED:
      return ErrorCode::unreachable;
    case ETIMEDOUT:
      return ErrorCode::timed_out;
    case ENOMEM:
    case ENOSPC:
      return ErrorCode::no_memory;
    case EACCES:
    case EPERM:
      return ErrorCode::permission;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ESHUTDOWN:
      return ErrorCode::disconnected;
    case EINVAL:
      return ErrorCode::invalid_argument;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorCode::unsupported;
    default:
      return ErrorCode::io;
  }
}

std::string sentence(const std::string& failure, const std::string& remedy) {
  return remedy.empty() ? failure : failure + ". " + remedy;
}

}  // namespace

const char* to_string(ErrorCode code) noexcept {
  for (const auto& [known, name] : kNames) {
    if (known == code) return name;
  }
  return "io";
}

ErrorCode error_code_from_string(const std::string& name) noexcept {
  for (const auto& [code, known] : kNames) {
    if (name == known) return code;
  }
  return ErrorCode::protocol;
}

Error::Error(ErrorCode code, const std::string& what_failed, const std::string& what_to_try)
    : std::runtime_error(sentence(what_failed, what_to_try)),
      code_(code),
      failure_(what_failed),
      remedy_(what_to_try) {}

Error Error::from_errno(int error_number, const std::string& what_failed,
                        const std::string& what_to_try) {
  return {code_of_errno(error_number),
          what_failed + ": " + std::generic_category().message(error_number), what_to_try};
}

}  // namespace grainfabric
