// Fresh values for a model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// FNV-1a: a parameter's own random stream follows from its name.
constexpr std::uint32_t name_hash(const std::string& name) {
  std::uint32_t h = 2166136261u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}

inline double initial_value(const Init& init, std::uint64_t seed, std::uint32_t name, Index i) {
  const auto n = static_cast<std::uint64_t>(i);
  const Philox rng(seed, Purpose::init, 0, name);
  switch (init.kind) {
    case Init::Kind::zero:
      return 0.0;
    case Init::Kind::one:
      return 1.0;
    case Init::Kind::normal:
      return init.scale * rng.normal(n);
    case Init::Kind::truncated_normal:
      // Each rejected draw moves to the next step of the stream, so element i stays a function of i alone.
      for (std::uint32_t attempt = 0;; ++attempt) {
        const double z = init.scale * Philox(seed, Purpose::init, attempt, name).normal(n);
        if (std::abs(z) <= 2.0) return z;
      }
    case Init::Kind::uniform:
      return init.scale * (2.0 * static_cast<double>(rng.uniform(n)) - 1.0);
    case Init::Kind::table:
      return init.element(i);
  }
  return 0.0;
}

}  // namespace detail

/// Allocates every parameter and fills it from its distribution. The same seed gives the same values for any order of construction,
/// any number of threads and any backend.
template <class Model>
void initialize(Model& model, std::uint64_t seed) {
  bind_names(model);
  for_each_parameter(model, [&](const std::string& path, auto& p) {
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    const std::uint32_t name = detail::name_hash(path);
    std::vector<Value> host(static_cast<std::size_t>(p.shape().size()));
    const Init& init = p.spec().init;
    p.context().host_parallel_range(p.shape().size(), Index{1} << 14, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i)
        host[static_cast<std::size_t>(i)] = static_cast<Value>(detail::initial_value(init, seed, name, i));
    });
    p.adopt(std::remove_cvref_t<decltype(p.value())>::from_host(p.context(), p.shape(), host));
  });
}

}  // namespace braing3n::inline BRAING3N_ABI
