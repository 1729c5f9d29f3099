// The conditional diffusion transformer over latent tokens.
//
// Source: BrainG3N (arXiv 2606.19651), section 2.3; Peebles and Xie 2023 (adaLN-Zero blocks). Input and output are latent
// tokens (N, L, C) with L on a fixed grid; the condition vector is the time embedding plus one embedding per condition field.
// Conditions are data: a list of categorical and continuous fields, each with its own null. Default: 292,887,968 parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/autograd/compiled.hpp"
#include "braing3n/models/conditions.hpp"
#include "braing3n/models/dit3d_config.hpp"
#include "braing3n/models/dit3d_prepared.hpp"
#include "braing3n/models/gaussian_velocity.hpp"
#include "braing3n/nn/embedding.hpp"
#include "braing3n/nn/transformer.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One continuous condition: an embedding of the value and a learned vector for "unknown".
template <Backend B, Precision P>
struct ContinuousCondition {
  ScalarEmbedding<B, P> embedder;
  Parameter<B, wide_t<P>> null;  // (width); absent when the field is required
};

template <Backend B, Precision P>
struct Dit3d {
  using T = typename P::Compute;
  using Act = Var<T, B>;
  using W = wide_t<P>;
  using WideAct = Var<typename W::Compute, B>;

  Dit3dConfig config;
  Linear<B, P> x_embedder, context_embedder;  // the latter is absent without context channels
  Parameter<B, P> positions;
  ScalarEmbedding<B, P> t_embedder;
  std::vector<std::variant<LabelEmbedding<B, P>, ContinuousCondition<B, P>>> conditions;
  std::vector<DitBlock<B, P>> blocks;
  LayerNorm<B, P> norm_final;
  Linear<B, P> final_modulation, final_linear;
  GaussianVelocity<B, P>
      gaussian;  // absent without a rank; its classes are those of the required conditions, its features the others
  std::string path;

  Dit3d() = default;
  Dit3d(Context<B>& context, const Dit3dConfig& c);

  /// x (N, L, C) at times t (N) in [0, 1] (1 = noise, 0 = data) under the conditions, beside the context (N, L, context channels) that a
  /// model with context channels must be given -> velocity (N, L, outputs C).
  Act operator()(Pass<B>& pass, const Act& x, const std::vector<double>& t, const ConditionBatch& condition,
                 const Act& context = Act()) const;

  /// What evaluations of `samples` samples at `times` under one batch of conditions need beside x. Not recorded.
  DitSteps<T, B> prepare(const Pass<B>& pass, const std::vector<double>& times, Index samples,
                         const ConditionBatch& condition) const;
  /// As many of them as are prepared together (prepared_bytes), at least one.
  Index steps_at_once(Index samples) const { return prepared_steps(config, samples, sizeof(T)); }
  /// The same velocity for one prepared step: no work on the host, nothing uploaded. x (N, L, C).
  Act operator()(Pass<B>& pass, const Act& x, const DitConditions<T, B>& at, const Act& context = Act()) const;

  /// SiLU of the condition vector, what every block reads: (N, width).
  Act silu_condition(Pass<B>& pass, const std::vector<double>& t, const ConditionBatch& condition) const;
  /// Time embedding plus the embeddings of all conditions: (N, width), in fp32 or better.
  WideAct condition_vector(Pass<B>& pass, const std::vector<double>& t, const ConditionBatch& condition) const;

  static void visit(auto& self, auto&& v) {
    v("x_embedder", self.x_embedder);
    if (self.context_embedder.weight.exists()) v("context_embedder", self.context_embedder);
    v("pos_embed", self.positions);
    v("t_embedder", self.t_embedder);
    for (std::size_t i = 0; i < self.conditions.size(); ++i) {
      const std::string& name = self.config.conditions[i].name;
      std::visit(
          [&](auto& part) {
            if constexpr (requires { part.embedder; }) {
              v(name + "_embedder", part.embedder);
              v(name + "_null", part.null);
            } else {
              v("cond_embedders." + name, part);
            }
          },
          self.conditions[i]);
    }
    v("blocks", self.blocks);
    v("final_layer.adaLN_modulation.1", self.final_modulation);
    v("final_layer.linear", self.final_linear);
    if (self.gaussian.exists()) v("gaussian", self.gaussian);
  }

 private:
  void check_input(const Act& x, Index times) const;
  /// block(b, i, h) runs block i, last() gives shift and scale of the last layer, closed_form() the velocity that the network adds to.
  template <class Block, class Last, class ClosedForm>
  Act network(Pass<B>& pass, Act h, Block&& block, Last&& last, ClosedForm&& closed_form) const {
    for (std::size_t i = 0; i < blocks.size(); ++i) h = block(blocks[i], i, std::move(h));
    const auto [shift, scale] = last();
    if (std::same_as<B, Cpu> || pass.looks_inside()) h = modulate(norm_final(pass, h), shift, scale);
    else h = norm_modulate(h, shift, scale, norm_final.eps);
    if (!gaussian.exists()) return final_linear(pass, h);
    return final_linear.add_to(pass, closed_form(), h);
  }
  /// x and its context as the first block takes them.
  Act tokens(Pass<B>& pass, const Act& x, const Act& context) const;

  static void check_count(const ConditionField& field, std::size_t came, std::size_t wanted) {
    if (came != wanted)
      fail(ErrorKind::shape, "dit3d.condition_count", "dit3d: condition ", field.name, ": expected ", wanted,
           " entries, one per sample, got ", came);
  }
  [[noreturn]] static void fail_required(const ConditionField& field, std::size_t sample);

  WideAct embed(Pass<B>& pass, const LabelEmbedding<B, P>& part, const ConditionField& field,
                const ConditionBatch::Field& given, std::size_t n) const;

  WideAct embed(Pass<B>& pass, const ContinuousCondition<B, P>& part, const ConditionField& field,
                const ConditionBatch::Field& given, std::size_t n) const;
};

template <Backend B, Precision P>
Dit3d<B, P>::Dit3d(Context<B>& context, const Dit3dConfig& c) : config(c) {
  c.validate();
  x_embedder = Linear<B, P>(context, c.channels, c.width);
  if (c.context_channels > 0)
    context_embedder = Linear<B, P>(context, c.context_channels, c.width, {.weight_init = zeros()});
  positions = Parameter<B, P>(context, {.shape = {1, volume_of(c.grid), c.width},
                                        .init = sincos3d_table(c.grid, c.width, false),
                                        .decay = false,
                                        .fixed = true});
  t_embedder = ScalarEmbedding<B, P>(context, c.width);
  for (const ConditionField& f : c.conditions) {
    if (f.kind == ConditionKind::categorical) {
      conditions.emplace_back(LabelEmbedding<B, P>(context, f.classes() + (f.required ? 0 : 1), c.width));
    } else {
      ContinuousCondition<B, P> part{ScalarEmbedding<B, P>(context, c.width), {}};
      if (!f.required) part.null = Parameter<B, W>(context, {.shape = {c.width}, .init = normal(0.02)});
      conditions.emplace_back(std::move(part));
    }
  }
  const TransformerOptions options = {c.width, c.heads, c.mlp, true, c.layer_norm_eps};
  for (Index i = 0; i < c.depth; ++i) blocks.emplace_back(context, options);
  norm_final = LayerNorm<B, P>(context, c.width, c.layer_norm_eps, false);
  final_modulation = Linear<B, P>(context, c.width, 2 * c.width, {.weight_init = zeros()});
  final_linear = Linear<B, P>(context, c.width, c.outputs * c.channels, {.weight_init = zeros()});
  if (c.gaussian_rank > 0)
    gaussian = GaussianVelocity<B, P>(context, required_classes(c.conditions), volume_of(c.grid) * c.channels,
                                      c.gaussian_rank, feature_count(c.conditions));
}

template <Backend B, Precision P>
auto Dit3d<B, P>::operator()(Pass<B>& pass, const Act& x, const std::vector<double>& t, const ConditionBatch& condition,
                             const Act& context) const -> Act {
  return pass.at(path, [&] {
    check_input(x, static_cast<Index>(t.size()));
    const Act c = silu_condition(pass, t, condition);
    return network(
        pass, tokens(pass, x, context),
        [&](const auto& block, std::size_t, Act h) {
          return pass.recompute_blocks
                     ? checkpoint(
                           pass, [&block](Pass<B>& p, const Act& a, const Act& b) { return block(p, a, b); }, h, c)
                     : block(pass, std::move(h), c);
        },
        [&] { return chunk<2>(final_modulation(pass, c)); },
        [&] {
          return gaussian(pass, x, t, required_class(config.conditions, condition, t.size()),
                          condition_features(config.conditions, condition, t.size()));
        });
  });
}

template <Backend B, Precision P>
auto Dit3d<B, P>::prepare(const Pass<B>& pass, const std::vector<double>& times, Index samples,
                          const ConditionBatch& condition) const -> DitSteps<T, B> {
  return prepare_steps(*this, pass, times, samples, condition);
}

template <Backend B, Precision P>
auto Dit3d<B, P>::operator()(Pass<B>& pass, const Act& x, const DitConditions<T, B>& at, const Act& context) const
    -> Act {
  return pass.at(path, [&] {
    check_input(x, at.rows());
    return network(
        pass, tokens(pass, x, context),
        [&](const auto& block, std::size_t i, Act h) {
          return block(pass, std::move(h), detail::constants_of(at.blocks[i]));
        },
        [&] { return detail::constants_of(at.last); }, [&] { return gaussian(pass, x, at.gaussian); });
  });
}

template <Backend B, Precision P>
auto Dit3d<B, P>::silu_condition(Pass<B>& pass, const std::vector<double>& t, const ConditionBatch& condition) const
    -> Act {
  const WideAct c = condition_vector(pass, t, condition);
  if constexpr (std::is_same_v<Act, WideAct>) return silu(c);
  else return silu(cast<T>(c));
}

template <Backend B, Precision P>
auto Dit3d<B, P>::condition_vector(Pass<B>& pass, const std::vector<double>& t, const ConditionBatch& condition) const
    -> WideAct {
  if (condition.fields.size() != conditions.size())
    fail(ErrorKind::shape, "dit3d.conditions", "dit3d: ", condition.fields.size(), " conditions given, the model has ",
         conditions.size());
  std::vector<double> scaled(t);
  for (double& v : scaled) v *= config.time_scale;
  WideAct sum = t_embedder(pass, scaled);
  for (std::size_t i = 0; i < conditions.size(); ++i)
    sum = add(sum, std::holds_alternative<LabelEmbedding<B, P>>(conditions[i])
                       ? embed(pass, std::get<LabelEmbedding<B, P>>(conditions[i]), config.conditions[i],
                               condition.fields[i], t.size())
                       : embed(pass, std::get<ContinuousCondition<B, P>>(conditions[i]), config.conditions[i],
                               condition.fields[i], t.size()));
  return sum;
}

template <Backend B, Precision P>
void Dit3d<B, P>::check_input(const Act& x, Index times) const {
  const Shape expected = {times, volume_of(config.grid), config.channels};
  if (!(x.shape() == expected))
    fail(ErrorKind::shape, "dit3d.input", "dit3d: input has shape ", x.shape(), ", expected ", expected, " for ", times,
         " times");
}

template <Backend B, Precision P>
auto Dit3d<B, P>::tokens(Pass<B>& pass, const Act& x, const Act& context) const -> Act {
  const Shape expected = {x.dim(0), volume_of(config.grid), config.context_channels};
  const bool given = !context.value().empty(), wanted = config.context_channels > 0;
  if (given != wanted || (given && !(context.shape() == expected)))
    fail(ErrorKind::shape, "dit3d.context", "dit3d: expected ",
         wanted ? concat("a context of shape ", expected) : "no context, as the model has no context channels",
         ", got ", given ? concat("one of shape ", context.shape()) : "none");
  Act h = add_broadcast(x_embedder(pass, x), reshape(positions.var(pass), {positions.shape()[1], config.width}));
  return wanted ? context_embedder.add_to(pass, h, context) : h;
}

template <Backend B, Precision P>
void Dit3d<B, P>::fail_required(const ConditionField& field, std::size_t sample) {
  fail(ErrorKind::argument, "dit3d.condition_required", "dit3d: condition ", field.name, " must be given, sample ",
       sample, " has none");
}

template <Backend B, Precision P>
auto Dit3d<B, P>::embed(Pass<B>& pass, const LabelEmbedding<B, P>& part, const ConditionField& field,
                        const ConditionBatch::Field& given, std::size_t n) const -> WideAct {
  check_count(field, given.labels.size(), n);
  std::vector<std::int32_t> rows = given.labels;
  for (std::size_t i = 0; i < n; ++i) {
    if (rows[i] >= field.classes())
      fail(ErrorKind::argument, "dit3d.condition_class", "dit3d: condition ", field.name, ": expected one of ",
           field.classes(), " classes, got ", rows[i], " for sample ", i);
    if (rows[i] >= 0) continue;
    if (field.required) fail_required(field, i);
    rows[i] = static_cast<std::int32_t>(field.classes());
  }
  return part(pass, rows);
}

template <Backend B, Precision P>
auto Dit3d<B, P>::embed(Pass<B>& pass, const ContinuousCondition<B, P>& part, const ConditionField& field,
                        const ConditionBatch::Field& given, std::size_t n) const -> WideAct {
  check_count(field, given.values.size(), n);
  std::vector<double> known;
  std::vector<std::int32_t> places;
  for (std::size_t i = 0; i < n; ++i) {
    if (std::isnan(given.values[i])) {
      if (field.required) fail_required(field, i);
    } else {
      known.push_back(given.values[i]);
      places.push_back(static_cast<std::int32_t>(i));
    }
  }
  if (known.size() == n) return part.embedder(pass, known);
  const Index samples = static_cast<Index>(n), width = config.width;
  const WideAct null = part.null.var(pass);
  if (known.empty())
    return add_broadcast(WideAct(Tensor<typename W::Compute, B>::zeros(pass.context(), {samples, width})), null);
  // The known values stand at their places among copies of the null, as visible tokens among mask tokens.
  const TokenMask<B> mask = token_mask_from_visible(pass.context(), std::span<const std::int32_t>(places), 1, samples);
  const WideAct rows = reshape(part.embedder(pass, known), {1, static_cast<Index>(known.size()), width});
  return reshape(scatter(rows, null, mask), {samples, width});
}

BRAING3N_COMPILED_LAYER(Dit3d)

}  // namespace braing3n::inline BRAING3N_ABI
