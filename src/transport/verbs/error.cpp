// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/error.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace grainfabric::transport::verbs {
namespace {

/// Both libraries say that there is nothing (ENODEV, ENOENT) where there is what may not be opened.
bool is_denied() {
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator("/dev/infiniband", ignored)) {
    if (::access(file.path().c_str(), R_OK | W_OK) != 0 && errno == EACCES) return true;
  }
  return false;
}

}  // namespace

void check(int result, const std::string& what_failed, const std::string& what_to_try) {
  if (result != 0) throw Error::from_errno(errno, what_failed, what_to_try);
}

void check_number(int error_number, const std::string& what_failed,
                  const std::string& what_to_try) {
  if (error_number != 0) throw Error::from_errno(error_number, what_failed, what_to_try);
}

Error opening_error(int error_number, const std::string& what) {
  switch (is_denied() ? EACCES : error_number) {
    case EACCES:
    case EPERM:
      return Error::from_errno(EACCES, "Cannot open " + what,
                               "Give this user read and write access to /dev/infiniband (group "
                               "rdma; --device=/dev/infiniband for a container).");
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return {ErrorCode::unsupported,
              "Cannot open " + what + ": the kernel's RDMA devices are not in /dev/infiniband",
              "Load the kernel modules ib_uverbs and rdma_ucm; a container needs "
              "--device=/dev/infiniband."};
    default:
      return Error::from_errno(error_number, "Cannot open " + what);
  }
}

Error registration_error(int error_number, std::size_t bytes, unsigned long limit,
                         const std::string& device) {
  const std::string failure = "Cannot register " + std::to_string(bytes) + " bytes with " + device;
  const bool may_be_limit = error_number == ENOMEM || error_number == EAGAIN;
  if (!may_be_limit || limit == RLIM_INFINITY) return Error::from_errno(error_number, failure);
  return {ErrorCode::locked_memory_limit,
          failure + ": this process may lock only " + std::to_string(limit / 1024) + " KiB",
          "Raise it: ulimit -l unlimited in a shell, LimitMEMLOCK=infinity in a systemd unit, "
          "--ulimit memlock=-1 for a container; or use fewer slots."};
}

Error completion_error(ibv_wc_status status, const std::string& peer) {
  const std::string detail = std::string(" (") + ibv_wc_status_str(status) + ")";
  switch (status) {
    case IBV_WC_WR_FLUSH_ERR:
      return {ErrorCode::disconnected, "The connection with " + peer + " broke" + detail};
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RESP_TIMEOUT_ERR:
    case IBV_WC_REM_ABORT_ERR:
      return {ErrorCode::disconnected, peer + " does not acknowledge any more" + detail,
              "Check that the peer runs, its link is up, and both sides use the same MTU."};
    case IBV_WC_RNR_RETRY_EXC_ERR:
      return {ErrorCode::timed_out, peer + " did not serve what had arrived" + detail,
              "Raise rnr-timer or rnr-retry of [verbs], or use fewer slots."};
    case IBV_WC_REM_ACCESS_ERR:
    case IBV_WC_REM_INV_REQ_ERR:
    case IBV_WC_REM_OP_ERR:
      return {ErrorCode::permission, peer + " refused access to its memory" + detail};
    case IBV_WC_LOC_LEN_ERR:
      return {ErrorCode::protocol, peer + " sent a message that is too long" + detail};
    default:
      return {ErrorCode::io, "A transfer to or from " + peer + " failed" + detail};
  }
}

}  // namespace grainfabric::transport::verbs
