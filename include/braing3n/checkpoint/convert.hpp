// Weights of other programs under our names: name maps, and an account of every tensor.
//
// A conversion is planned first: each source tensor is renamed, and the result is compared with what the model expects. The
// plan lists matched, ignored (with the reason), missing, unexpected, unused and mis-shaped names with the nearest candidates;
// nothing is written unless it is complete. Unused are tensors of parts that the model has (a twelfth block beside a depth of 6, a
// bias of a layer without one): leaving them out would make another model. Sources:
//   monai  MaskedAutoEncoderViT of MONAI 1.3 (Sequential: the final norm is blocks.N), 1.4 and 1.5 (unused cross-attention
//          tensors in every block) and later (norm); the decoder of AutoencoderKL, of MONAI and of GenerativeModels
//   timm   facebookresearch/mae and timm; our own names are theirs
// Prefixes that training wrappers add ("module.", "model.", "backbone.", "_orig_mod.") are dropped.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/checkpoint/convert_names.hpp"
#include "braing3n/checkpoint/finite_weights.hpp"
#include "braing3n/format/safetensors_reader.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What a model wants. optional: a fixed table that it can compute itself.
struct ExpectedTensor {
  std::string name;
  std::vector<Index> shape;
  bool optional = false;
};

struct ConversionPlan {
  struct Match {
    std::string source, target;  // source empty: the tensor is made (an identity)
    std::vector<Index> shape;    // of the target
    int part = 0, parts = 1;     // rows [part, part + 1) of `parts` equal pieces of the source
  };
  struct Ignored {
    std::string name, reason;
  };
  struct Lost {
    std::string name;
    std::vector<Index> shape;
    std::vector<std::string> candidates;
    bool own =
        false;  // unexpected: it belongs to a part that the model has, so the model would compute something else than its source
  };
  struct WrongShape {
    std::string source, target;
    std::vector<Index> came, expected;
  };
  std::vector<Match> matched;
  std::vector<Ignored> ignored;
  std::vector<Lost> missing, unexpected;
  std::vector<WrongShape> wrong_shape;
  std::vector<std::string> notes;

  /// Unexpected tensors of the model's own parts: a block more than the config has, a bias of a layer without one.
  Index unused() const {
    return std::count_if(unexpected.begin(), unexpected.end(), [](const Lost& u) { return u.own; });
  }
  /// Everything the model needs is there, and everything of its own parts is used. Other unexpected tensors (a head) do not stand in
  /// the way, but they are shown.
  bool complete() const { return missing.empty() && wrong_shape.empty() && unused() == 0; }
};

namespace detail {

inline std::string first_part(const std::string& name) { return name.substr(0, name.find('.')); }

/// Equal, or equal but for trailing extents of 1 (a linear layer that is a 1^3 convolution with us), or a patch embedding of one
/// channel stored as a linear layer.
inline bool same_values(std::span<const Index> came, const ExpectedTensor& wanted) {
  const auto without_ones = [](std::span<const Index> s) {
    while (!s.empty() && s.back() == 1) s = s.first(s.size() - 1);
    return s;
  };
  const auto a = without_ones(came), b = without_ones(wanted.shape);
  if (came.size() == wanted.shape.size() || came.size() <= 1)
    return std::equal(came.begin(), came.end(), wanted.shape.begin(), wanted.shape.end());
  if (std::equal(a.begin(), a.end(), b.begin(), b.end())) return true;
  return wanted.name == "patch_embed.proj.weight" && came.size() == 2 && wanted.shape.size() == 5 &&
         wanted.shape[1] == 1 && came[0] == wanted.shape[0] &&
         came[1] == wanted.shape[2] * wanted.shape[3] * wanted.shape[4];
}

}  // namespace detail

/// Compares `source` with what the model expects. Reads names and shapes only.
inline ConversionPlan plan_conversion(const std::vector<NamedTensor>& source, WeightSource from, WeightTarget target,
                                      std::span<const ExpectedTensor> expected) {
  ConversionPlan plan;
  std::map<std::string, const ExpectedTensor*> wanted;
  for (const ExpectedTensor& e : expected) wanted.emplace(e.name, &e);
  std::map<std::string, std::string> taken;                            // target -> source
  std::vector<std::pair<const NamedTensor*, std::string>> unexpected;  // with the name after the rules
  std::vector<std::string> dropped;
  for (const NamedTensor& t : source) {
    std::string name = t.name;
    detail::Renamed r;
    const auto fits = [&] { return !r.ignored.empty() || (!r.targets.empty() && wanted.contains(r.targets[0])); };
    r = detail::renamed(from, target, name);
    for (bool again = true; again && !fits();) {
      again = false;
      for (const std::string_view prefix : {"module.", "model.", "backbone.", "_orig_mod."})
        if (name.starts_with(prefix)) {
          name.erase(0, prefix.size());
          if (std::find(dropped.begin(), dropped.end(), prefix) == dropped.end()) dropped.emplace_back(prefix);
          r = detail::renamed(from, target, name);
          again = true;
          break;
        }
    }
    if (!r.ignored.empty()) {
      plan.ignored.push_back({t.name, r.ignored});
      continue;
    }
    if (!fits()) {
      unexpected.emplace_back(&t, r.targets.empty() ? name : r.targets[0]);
      continue;
    }
    const int parts = static_cast<int>(r.targets.size());
    for (int part = 0; part < parts; ++part) {
      const std::string& to = r.targets[static_cast<std::size_t>(part)];
      const auto found = wanted.find(to);
      if (found == wanted.end()) {
        unexpected.emplace_back(&t, to);
        continue;
      }
      if (const auto [earlier, fresh] = taken.emplace(to, t.name); !fresh) {
        plan.notes.push_back(concat(in_quotes(t.name), " and ", in_quotes(earlier->second), " both become ",
                                    in_quotes(to), "; the first is taken"));
        plan.unexpected.push_back({t.name, t.shape, {to}, true});
        continue;
      }
      std::vector<Index> piece = t.shape;
      const bool divisible = !piece.empty() && piece[0] % parts == 0;
      if (parts > 1 && divisible) piece[0] /= parts;
      if ((parts == 1 || divisible) && detail::same_values(piece, *found->second))
        plan.matched.push_back({t.name, to, found->second->shape, part, parts});
      else plan.wrong_shape.push_back({t.name, to, t.shape, found->second->shape});
    }
  }
  for (const std::string& prefix : dropped) plan.notes.push_back(concat("prefix ", in_quotes(prefix), " dropped"));

  std::vector<std::string> spare, open;  // names after the rules; expected names without a source
  for (const auto& [tensor, name] : unexpected) spare.push_back(name);
  // An attention without output projection (MONAI include_fc = false, GenerativeModels) is one with the identity.
  const bool has_output = std::any_of(taken.begin(), taken.end(), [](const auto& t) {
    return t.first.ends_with(".out.weight") || t.first.ends_with(".out.bias");
  });
  std::vector<const ExpectedTensor*> made;
  for (const ExpectedTensor& e : expected) {
    if (taken.contains(e.name)) continue;
    const std::size_t dot = e.name.rfind('.');
    const std::string layer = dot == std::string::npos ? std::string() : e.name.substr(0, dot);
    const bool output = target == WeightTarget::autoencoder_decoder && !has_output && layer.ends_with(".out") &&
                        taken.contains(layer.substr(0, layer.size() - 3) + "q.weight");
    if (output) made.push_back(&e);
    else if (!e.optional) open.push_back(e.name);
  }
  for (const ExpectedTensor* e : made) {
    plan.matched.push_back({"", e->name, e->shape, 0, 1});
    plan.notes.push_back(concat(in_quotes(e->name), " is made: the source has no output projection"));
  }
  for (const ExpectedTensor& e : expected)
    if (std::find(open.begin(), open.end(), e.name) != open.end()) {
      ConversionPlan::Lost lost{e.name, e.shape, {}};
      for (const std::string& near : nearest_names(e.name, spare, 3)) {
        const auto at = static_cast<std::size_t>(std::find(spare.begin(), spare.end(), near) - spare.begin());
        lost.candidates.push_back(unexpected[at].first->name);
      }
      plan.missing.push_back(std::move(lost));
    }
  std::set<std::string, std::less<>> parts;  // "blocks" of blocks.0.norm1.weight
  for (const ExpectedTensor& e : expected) parts.insert(detail::first_part(e.name));
  for (const auto& [tensor, name] : unexpected)
    plan.unexpected.push_back(
        {tensor->name, tensor->shape, nearest_names(name, open, 3), parts.contains(detail::first_part(name))});
  return plan;
}

/// The tensors of a complete plan under their new names. Throws Error (state) for an incomplete plan. The data of `source`, which
/// must stay, is not copied. Throws Error (numeric) for a tensor with a value that is not finite.
inline std::vector<NamedTensor> converted_tensors(const ConversionPlan& plan, const SafetensorsFile& source) {
  if (!plan.complete())
    fail(ErrorKind::state, "convert.incomplete", "convert: ", plan.missing.size(), " tensors are missing, ",
         plan.wrong_shape.size(), " have another shape, ", plan.unused(), " of the model's own parts are unused");
  std::vector<NamedTensor> result;
  for (const ConversionPlan::Match& m : plan.matched) {
    if (m.source.empty()) {
      std::vector<float> values(1);
      Index count = 1;
      for (const Index extent : m.shape) count *= extent;
      values.assign(static_cast<std::size_t>(count), 0.0f);
      if (m.shape.size() > 1)
        for (Index i = 0; i < m.shape[0]; ++i) values[static_cast<std::size_t>(i * (count / m.shape[0]) + i)] = 1.0f;
      result.push_back(named_tensor<float>(m.target, m.shape, std::move(values)));
      continue;
    }
    NamedTensor t = source.info(m.source);
    require_finite_weights({&t, 1}, source.path());
    const std::size_t piece = t.bytes.size() / static_cast<std::size_t>(m.parts);
    t.bytes = t.bytes.subspan(piece * static_cast<std::size_t>(m.part), piece);
    t.name = m.target;
    t.shape = m.shape;
    result.push_back(std::move(t));
  }
  return result;
}

/// One line per tensor that needs attention, and the counts.
inline std::string conversion_text(const ConversionPlan& plan) {
  std::string text;
  const auto candidates = [](const ConversionPlan::Lost& lost) {
    const std::string list = joined(lost.candidates, ", ", [](const std::string& c) { return in_quotes(c); });
    return list.empty() ? std::string() : "  nearest: " + list;
  };
  for (const auto& m : plan.missing)
    text += concat("missing     ", m.name, " ", shape_text(m.shape), candidates(m), "\n");
  for (const auto& w : plan.wrong_shape)
    text += concat("mis-shaped  ", in_quotes(w.source), " ", shape_text(w.came), " for ", w.target, " ",
                   shape_text(w.expected), "\n");
  for (const auto& u : plan.unexpected)
    text += concat(u.own ? "unused      " : "unexpected  ", in_quotes(u.name), " ", shape_text(u.shape), candidates(u),
                   "\n");
  for (const std::string& note : plan.notes) text += "note        " + note + "\n";
  return text + concat(plan.matched.size(), " matched, ", plan.ignored.size(), " ignored, ", plan.missing.size(),
                       " missing, ", plan.unexpected.size(), " unexpected, ", plan.wrong_shape.size(), " mis-shaped",
                       plan.unused() > 0 ? concat(", ", plan.unused(), " unused\n") : "\n");
}

}  // namespace braing3n::inline BRAING3N_ABI
