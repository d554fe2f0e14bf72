// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>

#include "base/histogram.hpp"
#include "raw.hpp"

/// The least that one can do with libfabric: whole grains written from a ring into a ring with
/// remote CQ data, over connected endpoints of provider tcp, waiting in fi_cq_sread. No credits: a
/// slot is written again as soon as the last write to it has left, whoever may still read it.
///
///     libfabric_loop server ADDRESS GRAIN DEPTH    prints the port it listens on, serves one
///     client libfabric_loop client ADDRESS PORT GRAIN DEPTH SECONDS RATE    prints the result as
///     JSON
///
/// GRAIN: bytes. DEPTH: slots, and writes in flight. RATE: grains a second, 0: as fast as it goes.
/// Latency is from when a grain was due (without a rate: was posted) to its completion at the
/// server, by the clock of the one host on which both run.
namespace {

constexpr std::uint64_t kLast = 1U << 31U;  // in the CQ data of the last grain
constexpr int kPatience = 10'000;           // ms
constexpr std::uint64_t kKey = 1;

/// What the server says at the end.
struct Report {
  double cpu;
  double p50, p99, p999, longest;  // µs
};

void check(long result, const char* what) {
  if (result < 0) {
    throw std::runtime_error(std::string(what) + ": " + fi_strerror(static_cast<int>(-result)));
  }
}

std::uint64_t nanoseconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

using bench::cpu_seconds;

struct Close {
  template <typename Object>
  void operator()(Object* object) const noexcept {
    fi_close(&object->fid);
  }
};
template <typename Object>
using Fid = std::unique_ptr<Object, Close>;

/// Calls what opens an object of libfabric.
template <typename Object, typename Open>
Fid<Object> opened(const char* what, const Open& open) {
  Object* object = nullptr;
  check(open(&object), what);
  return Fid<Object>(object);
}

struct FreeInfo {
  void operator()(fi_info* info) const noexcept { fi_freeinfo(info); }
};
using Info = std::unique_ptr<fi_info, FreeInfo>;

Info query(const char* address, const char* port, std::uint64_t flags) {
  const Info hints(fi_allocinfo());
  hints->caps = FI_MSG | FI_RMA;
  hints->ep_attr->type = FI_EP_MSG;
  hints->fabric_attr->prov_name = ::strdup("tcp");  // freed with the hints
  hints->domain_attr->cq_data_size = sizeof(std::uint32_t);
  hints->domain_attr->mr_mode = 0;  // keys by wish, addresses as offsets
  fi_info* info = nullptr;
  check(fi_getinfo(FI_VERSION(1, 17), address, port, flags | FI_NUMERICHOST, hints.get(), &info),
        "fi_getinfo");
  return Info(info);
}

/// One connection and its ring.
class Side {
 public:
  Side(std::size_t grain, std::size_t depth)
      : grain_(grain), depth_(depth), ring_(bench::make_ring(grain * depth).data()) {}

  [[nodiscard]] std::byte* slot(std::uint64_t number) const {
    return ring_ + number % depth_ * grain_;
  }

  /// Prints the port. The fabric is opened with what listens, the rest with who connects.
  void accept(const char* address) {
    const Info info = query(address, nullptr, FI_SOURCE);
    open_events(*info);
    const auto listener = opened<fid_pep>("fi_passive_ep", [&](fid_pep** object) {
      return fi_passive_ep(fabric_.get(), info.get(), object, nullptr);
    });
    check(fi_pep_bind(listener.get(), &events_->fid, 0), "fi_pep_bind");
    check(fi_listen(listener.get()), "fi_listen");
    sockaddr_in own{};
    std::size_t size = sizeof own;
    check(fi_getname(&listener->fid, &own, &size), "fi_getname");
    std::printf("%u\n", ntohs(own.sin_port));
    std::fflush(stdout);
    const Info request(wait_for(FI_CONNREQ).info);
    open(*request);
    memory_ = opened<fid_mr>("fi_mr_reg", [&](fid_mr** object) {
      return fi_mr_reg(domain_.get(), ring_, grain_ * depth_, FI_REMOTE_WRITE, 0, kKey, 0, object,
                       nullptr);
    });
    check(fi_accept(endpoint_.get(), nullptr, 0), "fi_accept");
    wait_for(FI_CONNECTED);
  }

  void connect(const char* address, const char* port) {
    const Info info = query(address, port, 0);
    open_events(*info);
    open(*info);
    check(fi_connect(endpoint_.get(), info->dest_addr, nullptr, 0), "fi_connect");
    wait_for(FI_CONNECTED);
  }

  void post_receive(Report& report) {
    check(fi_recv(endpoint_.get(), &report, sizeof report, nullptr, 0, &report), "fi_recv");
  }

  void report(const Report& report) {
    check(fi_inject(endpoint_.get(), &report, sizeof report, 0), "fi_inject");
    // It has left once the client hangs up.
    fi_cq_data_entry entry{};
    while (fi_cq_sread(queue_.get(), &entry, 1, nullptr, 100) == -FI_EAGAIN && !hung_up()) {
    }
  }

  /// False: the queue is full.
  bool write(std::uint64_t number, bool last) {
    iovec from{slot(number), grain_};
    fi_rma_iov to{number % depth_ * grain_, grain_, kKey};
    fi_msg_rma message{};
    message.msg_iov = &from;
    message.iov_count = 1;
    message.rma_iov = &to;
    message.rma_iov_count = 1;
    message.data = number % kLast | (last ? kLast : 0);
    const ssize_t result =
        fi_writemsg(endpoint_.get(), &message, FI_REMOTE_CQ_DATA | FI_COMPLETION);
    if (result == -FI_EAGAIN) return false;
    check(result, "fi_writemsg");
    return true;
  }

  fi_cq_data_entry next() {
    fi_cq_data_entry entry{};
    const ssize_t result = fi_cq_sread(queue_.get(), &entry, 1, nullptr, kPatience);
    if (result == -FI_EAVAIL) {
      fi_cq_err_entry error{};
      fi_cq_readerr(queue_.get(), &error, 0);
      throw std::runtime_error(std::string("completion: ") + fi_strerror(error.err));
    }
    check(result, "fi_cq_sread");
    return entry;
  }

 private:
  void open_events(fi_info& info) {
    fabric_ = opened<fid_fabric>("fi_fabric", [&](fid_fabric** object) {
      return fi_fabric(info.fabric_attr, object, nullptr);
    });
    fi_eq_attr attributes{};
    attributes.wait_obj = FI_WAIT_UNSPEC;
    events_ = opened<fid_eq>("fi_eq_open", [&](fid_eq** object) {
      return fi_eq_open(fabric_.get(), &attributes, object, nullptr);
    });
  }

  void open(fi_info& info) {
    domain_ = opened<fid_domain>("fi_domain", [&](fid_domain** object) {
      return fi_domain(fabric_.get(), &info, object, nullptr);
    });
    fi_cq_attr attributes{};
    attributes.format = FI_CQ_FORMAT_DATA;
    attributes.wait_obj = FI_WAIT_UNSPEC;
    attributes.size = 1024;
    queue_ = opened<fid_cq>("fi_cq_open", [&](fid_cq** object) {
      return fi_cq_open(domain_.get(), &attributes, object, nullptr);
    });
    endpoint_ = opened<fid_ep>("fi_endpoint", [&](fid_ep** object) {
      return fi_endpoint(domain_.get(), &info, object, nullptr);
    });
    check(fi_ep_bind(endpoint_.get(), &events_->fid, 0), "fi_ep_bind");
    check(fi_ep_bind(endpoint_.get(), &queue_->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind");
    check(fi_enable(endpoint_.get()), "fi_enable");
  }

  fi_eq_cm_entry wait_for(std::uint32_t wanted) {
    fi_eq_cm_entry entry{};
    std::uint32_t event = 0;
    check(fi_eq_sread(events_.get(), &event, &entry, sizeof entry, kPatience, 0), "fi_eq_sread");
    if (event != wanted) throw std::runtime_error("another connection event than expected");
    return entry;
  }

  bool hung_up() {
    std::uint32_t event = 0;
    fi_eq_cm_entry entry{};
    return fi_eq_read(events_.get(), &event, &entry, sizeof entry, 0) != -FI_EAGAIN;
  }

  std::size_t grain_, depth_;
  std::byte* ring_;
  Fid<fid_fabric> fabric_;
  Fid<fid_eq> events_;
  Fid<fid_domain> domain_;
  Fid<fid_mr> memory_;
  Fid<fid_cq> queue_;
  Fid<fid_ep> endpoint_;
};

void serve(const char* address, std::size_t grain, std::size_t depth) {
  Side side(grain, depth);
  side.accept(address);
  const double begun = cpu_seconds();
  grainfabric::Histogram latencies;
  std::uint64_t longest = 0;
  for (bool last = false; !last;) {
    const fi_cq_data_entry entry = side.next();
    if ((entry.flags & FI_REMOTE_CQ_DATA) == 0) continue;
    last = (entry.data & kLast) != 0;
    std::uint64_t due = 0;
    std::memcpy(&due, side.slot(entry.data & ~kLast), sizeof due);
    const std::uint64_t latency = nanoseconds_of(CLOCK_MONOTONIC) - due;
    latencies.record(latency);
    longest = std::max(longest, latency);
  }
  const auto quantile = [&](double share) {
    return static_cast<double>(std::min(latencies.quantile(share), longest)) / 1e3;
  };
  side.report({cpu_seconds() - begun, quantile(0.5), quantile(0.99), quantile(0.999),
               static_cast<double>(longest) / 1e3});
}

void sleep_until(std::uint64_t when) {
  const timespec until{static_cast<time_t>(when / 1'000'000'000U),
                       static_cast<long>(when % 1'000'000'000U)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

struct Pace {
  double seconds;
  double rate;
};

void send_to(Side& side, std::size_t grain, std::size_t depth, const Pace& pace) {
  Report there{};
  side.post_receive(there);
  bool reported = false;
  std::uint64_t posted = 0, done = 0;
  const std::uint64_t begun = nanoseconds_of(CLOCK_MONOTONIC);
  const double begun_cpu = cpu_seconds();
  const auto since = [begun] {
    return static_cast<double>(nanoseconds_of(CLOCK_MONOTONIC) - begun) / 1e9;
  };
  const auto complete = [&] {
    if (side.next().op_context == &there) {
      reported = true;
    } else {
      ++done;
    }
  };
  for (bool last = false; !last;) {
    std::uint64_t due = nanoseconds_of(CLOCK_MONOTONIC);
    if (pace.rate > 0) {
      while (done < posted) complete();
      due = begun + static_cast<std::uint64_t>(static_cast<double>(posted) / pace.rate * 1e9);
      sleep_until(due);
    }
    while (posted - done == depth) complete();
    last = since() >= pace.seconds;
    std::memcpy(side.slot(posted), &due, sizeof due);
    while (!side.write(posted, last)) complete();
    ++posted;
  }
  while (done < posted) complete();
  const double used = cpu_seconds() - begun_cpu;
  while (!reported) complete();
  const double all = since();  // with what was still on its way
  const double gigabytes = static_cast<double>(posted) * static_cast<double>(grain) / 1e9;
  std::printf(
      "{\"gigabytes-per-second\": %.4f, \"cpu-seconds-per-gigabyte\": {\"client\": %.4f, "
      "\"server\": %.4f}, \"window\": %.4f, \"sender-cpu\": %.4f, \"receiver-cpu\": %.4f, "
      "\"latency-us\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}}\n",
      gigabytes / all, used / gigabytes, there.cpu / gigabytes, all, used, there.cpu, there.p50,
      there.p99, there.p999, there.longest);
}

}  // namespace

int main(int count, char** words) try {
  const std::string role = count > 1 ? words[1] : "";
  if (role == "server" && count == 5) {
    serve(words[2], std::stoul(words[3]), std::stoul(words[4]));
  } else if (role == "client" && count == 8) {
    const std::size_t grain = std::stoul(words[4]);
    const std::size_t depth = std::stoul(words[5]);
    Side side(grain, depth);
    side.connect(words[2], words[3]);
    send_to(side, grain, depth, {std::stod(words[6]), std::stod(words[7])});
  } else {
    std::fputs(
        "usage: libfabric_loop server ADDRESS GRAIN DEPTH | client ADDRESS PORT GRAIN DEPTH "
        "SECONDS RATE\n",
        stderr);
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "libfabric_loop: %s\n", error.what());
  return 1;
}
