// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

#include "base/export.hpp"

namespace grainfabric {

/// What kind of failure it was, for a program that has to decide; the text is for people.
enum class ErrorCode {
  invalid_argument,     ///< An option or value that can never work.
  unknown_provider,     ///< No transport of that name in this build or on this host.
  unknown_interface,    ///< No network interface or local address of that name.
  address_in_use,       ///< Somebody else listens there.
  unresolvable,         ///< The host name has no address.
  unreachable,          ///< Nobody answers at that address.
  timed_out,            ///< A bounded wait ran out.
  protocol,             ///< The peer sent what this protocol does not have.
  version,              ///< The peer speaks a version that shares nothing with ours.
  refused,              ///< The peer (or this side) turned the session down and said why.
  busy,                 ///< The target already serves another initiator.
  no_memory,            ///< A ring that memory cannot hold.
  locked_memory_limit,  ///< RLIMIT_MEMLOCK is too small to register the ring.
  permission,           ///< The operating system said no.
  disconnected,         ///< The peer went away.
  unsupported,          ///< This build, host or provider cannot do it.
  io,                   ///< Anything else the operating system or a provider reported.
};

/// Stable lower-case name of a code ("address-in-use"), as it travels in REFUSE messages.
GRAINFABRIC_API const char* to_string(ErrorCode code) noexcept;
/// The code of a name that to_string() gave; `protocol` for a name this version does not know.
GRAINFABRIC_API ErrorCode error_code_from_string(const std::string& name) noexcept;

/// The exception of the control path (the data path returns result codes).
/// what() is one or two sentences: what failed, on which peer or interface, and what to try.
class GRAINFABRIC_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& what_failed, const std::string& what_to_try = {});

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  /// Only the first half of what().
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  /// Only the second half of what(); may be empty.
  [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }

  /// An Error for errno, its code chosen from it: "<what_failed>: <strerror>".
  static Error from_errno(int error_number, const std::string& what_failed,
                          const std::string& what_to_try = {});

 private:
  ErrorCode code_;
  std::string failure_;
  std::string remedy_;
};

}  // namespace grainfabric
