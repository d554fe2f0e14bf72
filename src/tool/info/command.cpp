// SPDX-License-Identifier: Apache-2.0
#include "tool/info/command.hpp"

#include <algorithm>
#include <functional>

#include "tool/command.hpp"
#include "tool/info/host.hpp"
#include "tool/json.hpp"
#include "tool/text.hpp"
#include "transport/choice.hpp"
#include "transport/table.hpp"

namespace grainfabric::tool {
namespace {

using transport::Capabilities;
using transport::DeviceInfo;
using transport::Table;
using transport::Transport;

/// A device and what came of opening it.
struct Tried {
  DeviceInfo device;
  Capabilities capabilities;
  std::string problem;  ///< Empty: it opened.
};

Tried try_to_open(const DeviceInfo& device) {
  Tried tried{device, {}, {}};
  try {
    tried.capabilities = Table::shared().open({device.provider, device.address})->capabilities();
    if (tried.device.interface.empty()) tried.device.interface = tried.capabilities.interface;
  } catch (const Error& error) {
    tried.problem = error.what();
  }
  return tried;
}

std::vector<Tried> devices_of(const Transport& transport, const std::string& provider) {
  std::vector<Tried> tried;
  for (const DeviceInfo& device : transport.devices()) {
    if (device.provider == provider) tried.push_back(try_to_open(device));
  }
  if (tried.empty()) tried.push_back(try_to_open({provider, {}, {}}));
  return tried;
}

/// What `auto` takes on an interface with this MTU, best first.
std::vector<std::string> automatic(std::size_t mtu = 1500) {
  transport::PathFacts path = transport::facts_of({});
  path.mtu = mtu;
  return transport::offers("auto", Table::shared().providers(), path);
}

/// A capability: its name in JSON, its column, and its value.
struct Number {
  const char* name;
  const char* title;
  std::size_t Capabilities::*value;
};
constexpr Number kNumbers[] = {
    {"max-write", "write", &Capabilities::max_write},
    {"max-inject", "inject", &Capabilities::max_inject},
    {"max-send", "send", &Capabilities::max_send},
    {"max-pieces", "pieces", &Capabilities::max_pieces},
    {"write-depth", "depth", &Capabilities::write_depth},
};

void print_json(const Host& host) {
  Json json;
  const auto add_text = [&](const std::string& text) { json.add(text); };
  json.object([&] {
    json.add("software", software());
    json.add("host", host.name);
    json.add("kernel", host.kernel);
    json.add("machine", host.machine);
    json.add("glib", host.glib);
    if (host.locked_memory_limit) {
      json.add("locked-memory-limit", *host.locked_memory_limit);
    } else {
      json.add("locked-memory-limit", nullptr);
    }
    json.add("available-memory", host.available_memory);
    json.array("interfaces", host.interfaces, [&](const Interface& interface) {
      json.object([&] {
        json.add("name", interface.name);
        json.add("state", interface.state);
        json.add("mtu", interface.mtu);
        json.array("addresses", interface.addresses, add_text);
      });
    });
    json.array("rdma-ports", host.rdma_ports, [&](const RdmaPort& port) {
      json.object([&] {
        json.add("device", port.device);
        json.add("port", port.port);
        json.add("state", port.state);
        json.add("link", port.link);
        json.add("interface", port.interface);
      });
    });
    json.array("automatic", automatic(), add_text);
    json.array("automatic-large-packets", automatic(9000), add_text);
    json.array("transports", Table::shared().transports(), [&](const auto& transport) {
      json.object([&] {
        json.add("library", transport->library());
        json.array("providers", transport->providers(), [&](const std::string& provider) {
          json.object([&] {
            json.add("name", provider);
            json.array("devices", devices_of(*transport, provider), [&](const Tried& tried) {
              json.object([&] {
                json.add("interface", tried.device.interface);
                json.add("address", tried.device.address);
                json.add("usable", tried.problem.empty());
                if (!tried.problem.empty()) {
                  json.add("problem", tried.problem);
                  return;
                }
                for (const Number& number : kNumbers) {
                  json.add(number.name, tried.capabilities.*number.value);
                }
                json.add("ordered", tried.capabilities.ordered);
                json.add("local-registration", tried.capabilities.local_registration);
              });
            });
          });
        });
      });
    });
    json.array("missing", Table::shared().missing(), [&](const Table::Missing& missing) {
      json.object([&] {
        json.add("module", missing.module);
        json.add("reason", missing.reason);
      });
    });
  });
  print_line(stdout, json.text());
}

void print_host(const Host& host) {
  TextTable facts;
  facts.add({"software", software() + ", GLib " + host.glib});
  facts.add({"host", host.name + ", " + host.kernel + ", " + host.machine});
  facts.add({"locked memory",
             host.locked_memory_limit
                 ? size_text(*host.locked_memory_limit) +
                       " (RDMA pins its memory: `ulimit -l unlimited` where it is too little)"
                 : "unlimited"});
  facts.add({"available memory",
             format("%.1f GiB", static_cast<double>(host.available_memory) / (1U << 30U))});
  facts.print();

  TextTable interfaces;
  interfaces.add({"INTERFACE", "STATE", "MTU", "ADDRESSES"});
  for (const Interface& interface : host.interfaces) {
    interfaces.add({interface.name, interface.state, std::to_string(interface.mtu),
                    transport::join_names(interface.addresses)});
  }
  print_line(stdout, "");
  interfaces.print();

  if (host.rdma_ports.empty()) {
    print_line(stdout, "\nNo RDMA device: /sys/class/infiniband is empty.");
    return;
  }
  TextTable ports;
  ports.add({"RDMA DEVICE", "PORT", "STATE", "LINK", "INTERFACE"});
  for (const RdmaPort& port : host.rdma_ports) {
    ports.add({port.device, port.port, port.state, port.link, port.interface});
  }
  print_line(stdout, "");
  ports.print();
}

void print_transports() {
  TextTable table;
  std::vector<std::string> headline = {"PROVIDER", "INTERFACE", "ADDRESS"};
  for (const Number& number : kNumbers) headline.emplace_back(number.title);
  headline.insert(headline.end(), {"order", "registers", "library"});
  table.add(headline);
  std::vector<std::string> problems;
  for (const auto& transport : Table::shared().transports()) {
    for (const std::string& provider : transport->providers()) {
      for (const Tried& tried : devices_of(*transport, provider)) {
        if (!tried.problem.empty()) {
          problems.push_back(provider + " on " + tried.device.interface + " " +
                             tried.device.address + ": " + tried.problem);
          continue;
        }
        std::vector<std::string> row = {provider, tried.device.interface, tried.device.address};
        for (const Number& number : kNumbers) {
          row.push_back(std::to_string(tried.capabilities.*number.value));
        }
        row.emplace_back(tried.capabilities.ordered ? "yes" : "no");
        row.emplace_back(tried.capabilities.local_registration ? "yes" : "no");
        row.push_back(transport->library());
        table.add(std::move(row));
      }
    }
  }
  print_line(stdout, "");
  if (!Table::shared().transports().empty()) table.print();
  print_line(stdout, "\nprovider=auto takes, best first: " + transport::join_names(automatic()) +
                         "; with jumbo frames: " + transport::join_names(automatic(9000)));
  for (const std::string& problem : problems) print_line(stdout, "Not usable: " + problem);
  for (const Table::Missing& missing : Table::shared().missing()) {
    print_line(stdout, "Missing: module " + missing.module + ": " + missing.reason);
  }
}

}  // namespace

int info(std::vector<std::string> arguments) {
  bool as_json = false;
  Command command(
      "info", "Shows what the transports of this host can do, and what is missing.",
      "Each device of each provider is opened once; what its row says is what a stream would get.\n"
      "Columns: longest write, injected write and message in bytes, parts that one write gathers,\n"
      "writes in flight, whether an immediate tells that all earlier writes have landed, and\n"
      "whether the sender's memory has to be registered.");
  command.add("json", as_json, "The same as JSON");
  if (!command.parse(std::move(arguments)).empty()) throw UsageError("info takes options only");
  const Host host = look_at_host();
  if (as_json) {
    print_json(host);
  } else {
    print_host(host);
    print_transports();
  }
  return 0;
}

}  // namespace grainfabric::tool
