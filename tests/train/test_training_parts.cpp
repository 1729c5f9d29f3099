#include "tests/train/training_case.hpp"

#include "braing3n/train/fit.hpp"

using namespace braing3n;

namespace {

/// tokens (N, L, C) that differ between people by `person` and between positions by `place`.
Tensor<float, Cpu> made_tokens(Context<Cpu>& ctx, double person, double place) {
  const auto a = test::random<float>(ctx, {6, 1, 8}, 1), b = test::random<float>(ctx, {1, 5, 8}, 2),
             c = test::random<float>(ctx, {6, 5, 8}, 3);
  Tensor<float, Cpu> t(ctx, {6, 5, 8});
  for (Index n = 0; n < 6; ++n)
    for (Index l = 0; l < 5; ++l)
      for (Index i = 0; i < 8; ++i)
        t.data()[(n * 5 + l) * 8 + i] =
            static_cast<float>(person) * (a.data()[n * 8 + i] + 0.5f * c.data()[(n * 5 + l) * 8 + i]) +
            static_cast<float>(place) * b.data()[l * 8 + i] + 2.0f;
  return t;
}

}  // namespace

TEST_CASE("the collapse check tells tokens that differ between subjects from tokens that do not") {
  Context<Cpu> ctx({.threads = 1});
  const auto share = [&](double person, double place) {
    TokenStatistics s(false);
    const auto t = made_tokens(ctx, person, place);
    s.add(t.slice(0, 2));
    s.add(t.slice(2, 6));
    return s.share_between_subjects();
  };
  CHECK(share(0, 1) == doctest::Approx(0).epsilon(1e-9));
  CHECK(share(1, 0) > 0.5);
  CHECK(share(0.1, 1) < 0.05);
  CHECK((CollapseReport{0.01, 0.5, 6}).collapsed());
  CHECK(!(CollapseReport{0.2, 0.5, 6}).collapsed());
  CHECK((CollapseReport{0.01, 0.5, 6}).str().find("COLLAPSED") != std::string::npos);
  // By definition, over 6 people and 5 places.
  const auto t = made_tokens(ctx, 1, 1);
  double between = 0, total = 0;
  for (Index i = 0; i < 8; ++i) {
    double all = 0, squares = 0;
    for (Index r = 0; r < 30; ++r) {
      const double v = static_cast<double>(t.data()[r * 8 + i]);
      all += v / 30, squares += v * v / 30;
    }
    total += squares - all * all;
    for (Index l = 0; l < 5; ++l) {
      double mean = 0, square = 0;
      for (Index n = 0; n < 6; ++n) {
        const double v = static_cast<double>(t.data()[(n * 5 + l) * 8 + i]);
        mean += v / 6, square += v * v / 6;
      }
      between += (square - mean * mean) / 5;
    }
  }
  CHECK(share(1, 1) == doctest::Approx(between / total).epsilon(1e-6));
}

TEST_CASE("the statistics of latents follow from those of the tokens, without running the projection") {
  Context<Cpu> ctx({.threads = 1});
  const auto t = made_tokens(ctx, 1, 0.7);
  TokenStatistics s(true);
  s.add(t);
  Linear<Cpu, F32> projection(ctx, 8, 5);
  initialize(projection, 3);
  Pass<Cpu> pass(ctx);
  const auto z = projection(pass, Var<float, Cpu>(t)).value();
  const LatentStatistics l = latents_of(projection, s);
  REQUIRE(l.mean.size() == 5);
  for (Index i = 0; i < 5; ++i) {
    double mean = 0, square = 0;
    for (Index r = 0; r < 30; ++r) {
      const double v = static_cast<double>(z.data()[r * 5 + i]);
      mean += v / 30, square += v * v / 30;
    }
    CHECK(l.mean[static_cast<std::size_t>(i)] == doctest::Approx(mean).epsilon(1e-4));
    CHECK(l.sd[static_cast<std::size_t>(i)] == doctest::Approx(std::sqrt(square - mean * mean)).epsilon(1e-4));
  }
}

namespace {

/// Patches (N, L, P) that are a linear function of rank 2 of tokens (N, L, 8), times `scale`, and a mean per position on top.
Tensor<float, Cpu> made_patches(Context<Cpu>& ctx, const Tensor<float, Cpu>& tokens, double scale, double place) {
  const auto down = test::random<double>(ctx, {8, 2}, 7), up = test::random<double>(ctx, {2, 11}, 8);
  const auto where = test::random<double>(ctx, {tokens.dim(1), 11}, 9);
  const Index rows = tokens.dim(0) * tokens.dim(1);
  const auto p = matmul_forward(matmul_forward(cast<double>(tokens).reshape({rows, 8}), down), up);
  Tensor<float, Cpu> out(ctx, {tokens.dim(0), tokens.dim(1), 11});
  for (Index i = 0; i < out.size(); ++i)
    out.data()[i] = static_cast<float>(scale * p.data()[i] + place * where.data()[i % where.size()] + 0.5);
  return out;
}

double squared_difference(const Tensor<float, Cpu>& a, const Tensor<float, Cpu>& b) {
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i)
    sum += std::pow(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]), 2);
  return sum;
}

}  // namespace

TEST_CASE("the readout of tokens finds the numbers that give patches back") {
  Context<Cpu> ctx({.threads = 2});
  const auto t = made_tokens(ctx, 1, 0.7);
  const auto solved = [&](const Tensor<float, Cpu>& patches, Index rank) {
    TokenReadout readout;
    for (Index n = 0; n < 6; ++n) readout.add(t.slice(n, n + 1), patches.slice(n, n + 1));
    readout.solve(ctx, rank, 1e-9);
    return readout;
  };
  const auto error = [&](const TokenReadout& readout, const Tensor<float, Cpu>& patches) {
    double sum = 0;
    for (Index n = 0; n < 6; ++n)
      sum += squared_difference(readout.patches(t.slice(n, n + 1)), patches.slice(n, n + 1));
    return sum;
  };
  // Patches of rank 2 come back from two numbers and not from one.
  const auto exact = made_patches(ctx, t, 1, 0);
  CHECK(error(solved(exact, 2), exact) <
        1e-6 * squared_difference(exact, Tensor<float, Cpu>::zeros(ctx, exact.shape())));
  const double one = error(solved(exact, 1), exact);
  CHECK(one > 1e-3);
  // No other single number of the tokens does better: each one with its own best linear readout.
  const auto noisy = made_patches(ctx, t, 1, 0.6);
  const double best = error(solved(noisy, 1), noisy);
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const auto direction = test::random<double>(ctx, {8}, 30 + seed);
    double z_mean = 0, zz = 0;
    std::vector<double> z(30, 0.0), p_mean(11, 0.0), zp(11, 0.0);
    for (Index r = 0; r < 30; ++r) {
      for (Index i = 0; i < 8; ++i)
        z[static_cast<std::size_t>(r)] += static_cast<double>(t.data()[r * 8 + i]) * direction.data()[i];
      z_mean += z[static_cast<std::size_t>(r)] / 30;
      for (Index v = 0; v < 11; ++v)
        p_mean[static_cast<std::size_t>(v)] += static_cast<double>(noisy.data()[r * 11 + v]) / 30;
    }
    double total = 0, explained = 0;
    for (Index r = 0; r < 30; ++r) {
      const double dz = z[static_cast<std::size_t>(r)] - z_mean;
      zz += dz * dz;
      for (Index v = 0; v < 11; ++v) {
        const double dp = static_cast<double>(noisy.data()[r * 11 + v]) - p_mean[static_cast<std::size_t>(v)];
        zp[static_cast<std::size_t>(v)] += dz * dp;
        total += dp * dp;
      }
    }
    for (const double c : zp) explained += c * c / zz;
    CHECK(total - explained >= best * (1 - 1e-6));
  }
  // The projection it starts: uncorrelated, mean 0, variance 1.
  const TokenReadout readout = solved(test::random<float>(ctx, {6, 5, 11}, 12), 4);
  Linear<Cpu, F32> projection(ctx, 8, 5);
  initialize(projection, 3);
  const std::vector<float> before(projection.weight.value().data() + 32, projection.weight.value().data() + 40);
  readout.start(projection);
  CHECK(std::equal(before.begin(), before.end(), projection.weight.value().data() + 32));
  Pass<Cpu> pass(ctx);
  const auto z = projection(pass, Var<float, Cpu>(t)).value();
  for (Index i = 0; i < 4; ++i)
    for (Index j = 0; j <= i; ++j) {
      double mean = 0, product = 0;
      for (Index r = 0; r < 30; ++r) {
        mean += static_cast<double>(z.data()[r * 5 + i]) / 30;
        product += static_cast<double>(z.data()[r * 5 + i]) * static_cast<double>(z.data()[r * 5 + j]) / 30;
      }
      CHECK(std::abs(mean) < 1e-4);
      CHECK(std::abs(product - (i == j ? 1.0 : 0.0)) < 2e-3);
    }
  Linear<Cpu, F32> other(ctx, 9, 5);
  initialize(other, 3);
  test::check_error("tokens.width", {"9", "8"}, [&] { solved(exact, 2).start(other); });
  TokenReadout none;
  test::check_error("readout.none", {}, [&] { none.solve(ctx, 2); });
}

TEST_CASE("the other side of a mask") {
  Context<Cpu> ctx({.threads = 1});
  const auto mask = draw_token_mask(ctx, 3, 0, std::vector<std::uint32_t>{1, 2}, 8, 0.75);
  const auto other = visible_selected(mask);
  for (Index i = 0; i < 16; ++i) CHECK(mask.masked.weights.data()[i] + other.masked.weights.data()[i] == 1.0f);
  CHECK(test::same_bits(mask.restore.values(), other.restore.values()));
  CHECK(other.masked.count == 2 * mask.kept());
}

TEST_CASE("augmentation moves, mirrors and scales whole volumes, by the sample alone") {
  Context<Cpu> ctx({.threads = 1});
  PreprocessingContract contract = test::tiny_contract();
  contract.orientation = "PLS";  // left and right on axis 1
  const auto volume = test::person(ctx, 3).reshape({1, 8, 12, 8, 1});
  const auto changed = [&](const AugmentOptions& o, std::uint32_t sample) {
    auto v = volume.clone();
    augment(ctx, v, {sample}, o, contract, 9);
    return v;
  };
  CHECK(test::same_bits(changed({}, 1), volume));
  int mirrored = 0, same = 0;
  for (std::uint32_t s = 0; s < 32; ++s) {
    const auto v = changed({.flip = true}, s);
    bool is_mirror = true;
    for (Index i = 0; i < 8; ++i)
      for (Index j = 0; j < 12; ++j)
        for (Index k = 0; k < 8; ++k)
          is_mirror = is_mirror && v.data()[(i * 12 + j) * 8 + k] == volume.data()[(i * 12 + 11 - j) * 8 + k];
    mirrored += is_mirror, same += test::same_bits(v, volume);
  }
  CHECK(mirrored + same == 32);
  CHECK(mirrored > 6);
  CHECK(same > 6);
  // A shift keeps the voxels that stay inside, and background comes in; left and right may lie on any axis. Voxels without any zero
  // tell one shift from every other.
  const auto dense = test::random<float>(ctx, {1, 8, 12, 8, 1}, 77);
  for (const int axis : {0, 1, 2}) {
    contract.orientation = std::array<const char*, 3>{"LPS", "PLS", "PSL"}[static_cast<std::size_t>(axis)];
    int moved = 0, flipped = 0;
    for (std::uint32_t s = 0; s < 12; ++s) {
      auto v = dense.clone();
      augment(ctx, v, {s}, {.flip = true, .shift = 2}, contract, 9);
      Index found = 0;
      for (const bool flip : {false, true})
        for (Index shift = 0; shift < 125; ++shift) {
          const Extent3 d = {shift / 25 - 2, shift / 5 % 5 - 2, shift % 5 - 2}, n = {8, 12, 8};
          bool fits = true;
          for (Index i = 0; fits && i < v.size(); ++i) {
            Extent3 at = {i / 96 - d[0], i / 8 % 12 - d[1], i % 8 - d[2]};
            const bool inside = at[0] >= 0 && at[0] < 8 && at[1] >= 0 && at[1] < 12 && at[2] >= 0 && at[2] < 8;
            const auto a = static_cast<std::size_t>(axis);
            if (flip) at[a] = n[a] - 1 - at[a];
            fits = v.data()[i] == (inside ? dense.data()[(at[0] * 12 + at[1]) * 8 + at[2]] : 0.0f);
          }
          found += fits;
          if (fits) moved += d != Extent3{}, flipped += flip;
        }
      CHECK(found == 1);
    }
    CHECK(moved > 6);
    CHECK(flipped > 2);
    CHECK(flipped < 10);
  }
  const auto v = changed({.intensity = 0.2}, 5);
  Index zeros = 0, kept = 0;
  for (Index i = 0; i < v.size(); ++i)
    if (volume.data()[i] == 0.0f) ++zeros, kept += v.data()[i] == 0.0f;
  CHECK(kept == zeros);
  CHECK(!test::same_bits(v, volume));
  test::check_same_for_threads("augment", [&](Context<Cpu>& c) {
    Tensor<float, Cpu> batch(c, {3, 8, 12, 8, 1});
    for (Index n = 0; n < 3; ++n) std::memcpy(batch.slice(n, n + 1).data(), volume.data(), volume.bytes());
    augment(c, batch, {4, 5, 6}, {.flip = true, .shift = 2, .intensity = 0.2}, contract, 9);
    return std::vector{batch};
  });
}

TEST_CASE("the mean patch as bias is where the loss of a constant prediction is least") {
  Context<Cpu> ctx({.threads = 1});
  const TrainingData data = test::people();
  const MaeTrainingConfig config = test::tiny_mae();
  ScanFailures failures;
  double loss[2];
  for (const int started : {0, 1}) {
    Mae3d<Cpu, F32> model(ctx, config.model);
    initialize(model, 3);
    model.decoder_pred.weight.value().zero();  // nothing but the bias speaks
    model.decoder_pred.weight.refresh();
    if (started == 1) start_prediction(model, mean_patch(ctx, model, data, failures));
    MaeTask task(ctx, model, data, config.training.resolved(7), 3, 0);
    loss[started] = task.validate(failures);
  }
  CHECK(loss[1] < 0.9 * loss[0]);
  CHECK(failures.empty());
}

TEST_CASE("the error of visible patches takes part by its weight, and not in the validation") {
  Context<Cpu> ctx({.threads = 1});
  const TrainingData data = test::people();
  const MaeTrainingConfig config = test::tiny_mae();
  Mae3d<Cpu, F32> model(ctx, config.model);
  initialize(model, 3);
  const TrainingOptions options = config.training.resolved(7);
  MaeTask plain(ctx, model, data, options, 3, 0), weighted(ctx, model, data, options, 3, 0, 2.5);
  const auto batch = plain.next();
  Pass<Cpu> pass(ctx);
  const auto out = model(pass, batch.volumes, batch.mask);
  const double visible =
      item(masked_patch_loss(out.prediction, out.target, visible_selected(batch.mask), config.model.norm_pix_loss));
  CHECK(visible > 0);
  CHECK(item(weighted.loss(pass, batch)) ==
        doctest::Approx(item(plain.loss(pass, batch)) + 2.5 * visible).epsilon(1e-6));
  ScanFailures failures;
  CHECK(weighted.validate(failures) == plain.validate(failures));
}

TEST_CASE("a tokenizer learns to give scans back better than the mean scan") {
  Context<Cpu> ctx({.threads = 1});
  const TrainingData data = test::people(12, 3);
  TokenizerTrainingConfig config = test::tiny_tokenizer();
  config.training.steps = 300;
  config.training = config.training.resolved(12);
  const Vit3dConfig encoder = test::tiny_mae().model.encoder;
  const std::uint64_t seed = 3;
  Tokenizer<Cpu, F32> model(ctx, config.model(encoder));
  initialize(model, seed);
  ScanFailures failures;
  const auto frozen = model.encoder.patch_weight.value().to_host();
  start_projection(ctx, model, data, failures);
  const double before = TokenizerTask(ctx, model, data, config, seed, 0).validate(failures);
  // [loop]
  Trainer<Tokenizer<Cpu, F32>, Cpu> trainer(ctx, model, config.training, seed);
  TokenizerTask task(ctx, model, data, config, seed,
                     trainer.progress().samples);  // batches, the loss of one, a preview
  while (trainer.progress().step < config.training.steps) {
    const StepReport report =
        trainer.step(task);  // gradients of the accumulated batches, clipped, one step of AdamW, the average
    if (report.step % config.training.validate_every == 0)
      trainer.note_validation(trainer.with_average([&] { return task.validate(failures); }));
    if (trainer.out_of_patience()) break;
  }
  // [loop]
  CHECK(trainer.progress().step == 300);
  CHECK(trainer.progress().best);
  const double after = task.validate(failures);

  Tensor<float, Cpu> mean = Tensor<float, Cpu>::zeros(ctx, {1, 8, 12, 8, 1});
  for_each_volume(ctx, data.source, data.train, failures, [&](Index, const Tensor<float, Cpu>& v) {
    for (Index i = 0; i < v.size(); ++i) mean.data()[i] += v.data()[i] / 12.0f;
  });
  double guess = 0;
  for_each_volume(ctx, data.source, data.validation, failures,
                  [&](Index, const Tensor<float, Cpu>& v) { guess += item(l1_forward(mean, v)) / 3; });
  MESSAGE("l1 before ", before, ", after ", after, ", mean scan ", guess);
  CHECK(after < guess);
  CHECK(after < 0.7 * before);
  CHECK(model.encoder.patch_weight.value().to_host() == frozen);
  CHECK(failures.empty());
  const Image preview = task.preview(failures);
  CHECK(preview.width > 20);
}

TEST_CASE("scans that fail are left out and named; a source in memory reads each scan once") {
  Context<Cpu> ctx({.threads = 1});
  std::atomic<int> reads = 0;
  const VolumeSource broken = [&](Context<Cpu>& c, Index row) {
    ++reads;
    if (row == 2) fail(ErrorKind::format, "test.broken", "a broken scan");
    return test::person(c, row);
  };
  const VolumeSource source = kept_in_memory(broken, 2 * 768 * 4);  // room for two
  ScanFailures failures;
  std::vector<Index> seen;
  for (int pass = 0; pass < 2; ++pass)
    for_each_volume(ctx, source, {0, 1, 2, 3}, failures, [&](Index row, const Tensor<float, Cpu>& v) {
      seen.push_back(row);
      CHECK(std::memcmp(v.data(), test::person(ctx, row).data(), v.bytes()) == 0);
    });
  CHECK(seen == std::vector<Index>{0, 1, 3, 0, 1, 3});
  CHECK(failures.size() == 1);
  CHECK(failures.at(2) == "a broken scan");
  CHECK(reads == 6);
  test::check_error("test.broken", {"broken"},
                    [&] { for_each_volume(ctx, broken, {2}, failures, [](Index, const Tensor<float, Cpu>&) {}); });
}
