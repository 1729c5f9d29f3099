#include "core/state.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

namespace emulation {
namespace {

std::mutex fault_mutex;
std::vector<std::string> faults, refusals;
std::atomic<bool> faulty{false};
std::atomic<bool> silent{false};

[[noreturn]] void refuse(std::string_view word) {
  std::fprintf(stderr,
               "BRAING3N_EMULATION: expected reversed, deferred, threads=N, devices=N, memory=N, capability=N or "
               "driver=N, separated by commas, got '%.*s'\n",
               static_cast<int>(word.size()), word.data());
  std::exit(2);
}

void read_option(Options& o, std::string_view word) {
  if (word == "reversed") {
    o.reversed = true;
  } else if (word == "deferred") {
    o.deferred = true;
  } else if (const auto equals = word.find('='); equals != std::string_view::npos) {
    const std::string_view name = word.substr(0, equals), digits = word.substr(equals + 1);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size()) refuse(word);
    if (name == "threads" && number <= 64) o.threads = static_cast<int>(number);
    else if (name == "devices" && number <= 8) o.devices = static_cast<int>(number);
    else if (name == "memory") o.memory = static_cast<std::size_t>(number);
    else if (name == "capability" && number <= 200) o.capability = static_cast<int>(number);
    else if (name == "driver" && number <= 99999) o.driver = static_cast<int>(number);
    else refuse(word);
  } else if (!word.empty()) {
    refuse(word);
  }
}

Options options_from_environment() {
  Options o;
  const char* text = std::getenv("BRAING3N_EMULATION");
  std::string_view rest = text == nullptr ? "" : text;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    read_option(o, rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return o;
}

}  // namespace

Options& options() {
  static Options o = options_from_environment();
  return o;
}

Counters counters() {
  const core::AtomicCounters& c = core::counted();
  Counters r;
  r.launches = c.launches, r.blocks = c.blocks, r.threads = c.threads;
  r.synchronisations = c.synchronisations, r.event_waits = c.event_waits;
  r.host_allocations = c.host_allocations;
  r.allocations = c.allocations, r.allocated_bytes = c.allocated_bytes;
  r.live_allocations = c.live_allocations, r.live_bytes = c.live_bytes;
  r.copies_to_device = c.copies_to_device, r.copies_to_host = c.copies_to_host;
  r.copies_on_device = c.copies_on_device, r.fills = c.fills, r.products = c.products;
  r.product_plans = c.product_plans;
  return r;
}

void reset_counters() {
  core::AtomicCounters& c = core::counted();
  for (std::atomic<std::uint64_t>* one :
       {&c.launches, &c.blocks, &c.threads, &c.synchronisations, &c.event_waits, &c.allocations, &c.allocated_bytes,
        &c.host_allocations, &c.copies_to_device, &c.copies_to_host, &c.copies_on_device, &c.fills, &c.products,
        &c.product_plans})
    *one = 0;
}

std::vector<std::string> take_faults() {
  const std::lock_guard lock(fault_mutex);
  faulty = false;
  return std::exchange(faults, {});
}

std::vector<std::string> take_refusals() {
  const std::lock_guard lock(fault_mutex);
  return std::exchange(refusals, {});
}

void set_quiet(bool quiet) { silent = quiet; }

namespace core {

std::string Site::text() const { return std::string(what) + " at " + at.file_name() + ":" + std::to_string(at.line()); }

bool Site::operator==(const Site& other) const {
  return at.line() == other.at.line() && std::strcmp(what, other.what) == 0 &&
         std::strcmp(at.file_name(), other.at.file_name()) == 0;
}

void add_fault(const std::string& text) {
  const std::lock_guard lock(fault_mutex);
  if (!silent) std::fprintf(stderr, "cuda emulation: %s\n", text.c_str());
  faults.push_back(text);
  faulty = true;
}

void add_refusal(const std::string& text) {
  const std::lock_guard lock(fault_mutex);
  if (!silent) std::fprintf(stderr, "cuda emulation: %s\n", text.c_str());
  refusals.push_back(text);
}

bool has_faults() { return faulty; }

const char* first_fault() {
  thread_local std::string text;
  const std::lock_guard lock(fault_mutex);
  text = faults.empty() ? "unspecified launch failure" : faults.front();
  return text.c_str();
}

AtomicCounters& counted() {
  static AtomicCounters c;
  return c;
}

int worker_threads() {
  const int asked = options().threads;
  return asked > 0 ? asked : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 8);
}

}  // namespace core
}  // namespace emulation
