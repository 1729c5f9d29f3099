// The preprocessing contract: what comes out, what is said about the input, and that nothing depends on how a scan was stored.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "braing3n/base/philox.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "braing3n/volume/preprocess.hpp"
#include "tests/support/check.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;

namespace {

/// A ball of "tissue" with texture on a background of 0, off centre; about 1.4 litres at 2 mm.
Volume ball(const Extent3& shape = {80, 96, 80}, double mm = 2, const char* orientation = "LPS",
            double radius_mm = 69) {
  const Orientation o = parse_orientation(orientation);
  Affine a;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c)
      a(r, c) = o.axis[static_cast<std::size_t>(c)] == r ? mm * o.sign[static_cast<std::size_t>(c)] : 0;
  Volume v(Grid{shape, a});
  const Philox rng(11, Purpose::test);
  Index at = 0;
  for (Index i = 0; i < shape[0]; ++i)
    for (Index j = 0; j < shape[1]; ++j)
      for (Index k = 0; k < shape[2]; ++k, ++at) {
        const double x = (static_cast<double>(i - shape[0] / 2) + 1.5) * mm,
                     y = (static_cast<double>(j - shape[1] / 2) - 2) * mm,
                     z = static_cast<double>(k - shape[2] / 2) * mm;
        const bool in = x * x + y * y + z * z < radius_mm * radius_mm;
        v.data()[at] = in ? 400 + 50 * rng.uniform(static_cast<std::uint64_t>(at)) + static_cast<float>(x) : 0.0f;
      }
  return v;
}

PreprocessingContract at_2mm() {
  PreprocessingContract c = PreprocessingContract::small();
  c.centring = Centring::image;
  return c;
}

}  // namespace

TEST_CASE("normalisation by every rule, against sums written out") {
  Context<Cpu> ctx({.threads = 2});
  const Volume scan = ball();
  for (const Normalisation rule : {Normalisation::zscore_nonzero, Normalisation::zscore_all, Normalisation::none})
    for (const Background background : {Background::zero, Background::shifted}) {
      PreprocessingContract c = at_2mm();
      c.normalise = rule;
      c.background = background;
      const Preprocessed p = preprocess(ctx, scan, c);
      CHECK(p.findings.empty());
      REQUIRE(p.data.shape() == Shape{80, 96, 80});
      const bool nonzero = rule == Normalisation::zscore_nonzero;
      double sum = 0, squares = 0, count = 0;
      for (Index i = 0; i < scan.size(); ++i)
        if (!nonzero || scan.data()[i] != 0) sum += static_cast<double>(scan.data()[i]), ++count;
      double mean = sum / count;
      for (Index i = 0; i < scan.size(); ++i)
        if (!nonzero || scan.data()[i] != 0)
          squares += (static_cast<double>(scan.data()[i]) - mean) * (static_cast<double>(scan.data()[i]) - mean);
      double sd = std::sqrt(squares / count);
      if (rule == Normalisation::none) mean = 0, sd = 1;
      double worst = 0;
      for (Index i = 0; i < scan.size(); ++i) {
        const double raw = static_cast<double>(scan.data()[i]);
        const double expected = nonzero && raw == 0 && background == Background::zero ? 0 : (raw - mean) / sd;
        worst = std::max(worst, std::abs(expected - static_cast<double>(p.data.data()[i])));
      }
      CHECK(worst < test::tolerance<float>(1, rule == Normalisation::none ? 1 : 500 / sd));
      CHECK(std::abs(p.record.intensity.mean - mean) < 1e-9 * (1 + std::abs(mean)));
      CHECK(std::abs(p.record.intensity.sd - sd) < 1e-9 * sd);
    }
}

TEST_CASE("each unusual input has its own sentence; strict refuses it") {
  Context<Cpu> ctx({.threads = 2});
  const PreprocessingContract contract = at_2mm();
  const auto found = [&](const Volume& v, const PreprocessingContract& c) { return preprocess(ctx, v, c).findings; };
  const auto only = [&](const Volume& v, const std::string& id, const PreprocessingContract& c,
                        Severity severity = Severity::warning) {
    const Findings f = found(v, c);
    CHECK_MESSAGE(f.has(id), id);
    CHECK_MESSAGE(f.list().size() == 1, id, ": ", f.list().size(), " findings");
    bool refused = false;
    try {
      (void)preprocess(ctx, v, c, true);
    } catch (const Error& e) {
      refused = true;
      CHECK(e.id() == id);
      CHECK(std::string(e.what()).size() > 20);
    }
    CHECK(refused == (severity == Severity::warning));
  };
  CHECK(found(ball(), contract).empty());
  only(ball({80, 96, 80}, 2, "RAS"), "volume.orientation", contract, Severity::note);
  only(ball({160, 192, 160}, 1, "LPS"), "volume.spacing", contract, Severity::note);
  only(ball({80, 96, 30}, 2, "LPS", 45), "volume.small", [&] {
    PreprocessingContract c = contract;
    c.shape = {80, 96, 30};
    return c;
  }());
  only(ball({100, 110, 100}, 2, "LPS", 90), "volume.skull", [&] {
    PreprocessingContract c = contract;
    c.shape = {100, 110, 100};
    return c;
  }());
  PreprocessingContract narrow = contract;
  narrow.shape = {60, 96, 80};
  only(ball(), "volume.field_of_view", narrow);
  Volume v = ball();
  for (Index i = 0; i < v.size(); ++i) v.data()[i] = v.data()[i] > 0 ? v.data()[i] / 1000 : 0;
  only(v, "volume.unit_range", contract, Severity::note);
  PreprocessingContract raw = contract;
  raw.normalise = Normalisation::none;
  only(v, "volume.unit_range", raw);
  v = ball();
  v.data()[v.size() / 2] = 65535;
  only(v, "volume.wide_range", contract, Severity::note);
  v = ball();
  v.data()[7] = std::numeric_limits<float>::quiet_NaN();
  v.data()[8] = -std::numeric_limits<float>::infinity();
  only(v, "volume.non_finite", contract);
  CHECK(preprocess(ctx, v, contract).data.data()[7] == 0.0f);
  v = ball();
  for (Index i = 0; i < v.size(); i += 3) v.data()[i] = -v.data()[i];
  only(v, "volume.negative", contract);
  PreprocessingContract clipped = contract;
  clipped.clip_negative = true;
  only(v, "volume.negative", clipped, Severity::note);
  CHECK(preprocess(ctx, v, clipped).data.data()[v.size() / 2 - v.size() / 2 % 3] == 0.0f);
  v = ball();
  for (Index i = 0; i < v.size(); ++i) v.data()[i] = v.data()[i] > 0 ? v.data()[i] : -1.5f;
  CHECK(found(v, contract).has("volume.background"));
  v = ball();
  for (Index i = 0; i < v.size(); ++i) v.data()[i] = v.data()[i] > 430 ? 2.0f : v.data()[i] > 0 ? 1.0f : 0.0f;
  only(v, "volume.labels", contract);
  v = ball();
  std::fill(v.data(), v.data() + v.size(), 7.0f);
  const Preprocessed flat = preprocess(ctx, v, contract);
  CHECK(flat.findings.has("volume.constant"));
  for (Index i = 0; i < flat.data.size(); i += 1000) CHECK(flat.data.data()[i] == 0.0f);
  CHECK(found(ball({80, 96, 12}), contract).has("volume.few_slices"));
  CHECK(found(ball({80, 96, 1}), contract).has("volume.single_slice"));
  Volume thick = ball();
  for (int r = 0; r < 3; ++r) thick.affine(r, 2) *= 3;
  CHECK(found(thick, contract).has("volume.thick_slices"));
  Volume oblique = ball();
  const double c = std::cos(0.3), s = std::sin(0.3);
  oblique.affine = Affine{{{{c, -s, 0, 0}, {s, c, 0, 0}, {0, 0, 1, 0}}}} * oblique.affine;
  only(oblique, "volume.oblique", contract);
  Volume sheared = ball();
  sheared.affine(0, 1) = 0.1;
  CHECK(found(sheared, contract).has("volume.sheared"));

  // Never usable.
  const auto refused = [&](const Volume& volume) {
    try {
      (void)preprocess(ctx, volume, contract);
    } catch (const Error& e) {
      return e.id();
    }
    return std::string();
  };
  v = ball();
  std::fill(v.data(), v.data() + v.size(), 0.0f);
  CHECK(refused(v) == "volume.zero");
  std::fill(v.data(), v.data() + v.size(), std::nanf(""));
  CHECK(refused(v) == "volume.non_finite");
  v = ball();
  v.affine(2, 2) = 0;
  CHECK(refused(v) == "volume.singular");
  CHECK(refused(Volume()) == "preprocess.empty");
  Volume corner(Grid{{400, 10, 10}, scaling({2, 2, 2})});
  std::fill(corner.data(), corner.data() + corner.size(), 0.0f);
  corner.data()[5] = 1, corner.data()[6] = 2;
  CHECK(refused(corner) == "volume.outside");
}

TEST_CASE("contracts: refusals, JSON, presets of 160 x 192 x 160 mm") {
  for (const PreprocessingContract& c : {PreprocessingContract::paper(), PreprocessingContract::small()}) {
    require_valid(c);
    CHECK(c.extent() == Vec3{160, 192, 160});
    CHECK(config_from_text<PreprocessingContract>(json_text(c)) == c);
  }
  CHECK(
      json_text(PreprocessingContract::paper()) ==
      R"({"orientation":"LPS","spacing":[1.0,1.0,1.0],"shape":[160,192,160],"centring":"image","clip_negative":false,)"
      R"("normalise":"zscore-nonzero","background":"zero","skull_stripped":true,"space":"SRI24"})");
  const auto refused = [](auto&& change) {
    PreprocessingContract c;
    change(c);
    try {
      require_valid(c);
    } catch (const Error& e) {
      return e.id();
    }
    return std::string();
  };
  CHECK(refused([](auto& c) { c.orientation = "LPP"; }) == "orientation.code");
  CHECK(refused([](auto& c) { c.spacing[1] = 0; }) == "contract.spacing");
  CHECK(refused([](auto& c) { c.spacing[1] = std::nan(""); }) == "contract.spacing");
  CHECK(refused([](auto& c) { c.shape[2] = 0; }) == "contract.shape");
  CHECK(refused([](auto&) {}).empty());
  const auto message = [](const char* text) -> std::string {
    try {
      (void)config_from_text<PreprocessingContract>(text, "contract.json");
    } catch (const Error& e) {
      CHECK(e.kind() == ErrorKind::config);
      return e.what();
    }
    return {};
  };
  CHECK(message(R"({"normalise":"zscore"})") ==
        R"(contract.json: normalise: expected one of "zscore-nonzero", "zscore-all", "none", got the text "zscore")");
  CHECK(message(R"({"normalise":"zscore_nonzero"})").ends_with(R"(got the text "zscore_nonzero")"));
  CHECK(message(R"({"background":"black"})") ==
        R"(contract.json: background: expected one of "zero", "shifted", got the text "black")");
  CHECK(message(R"({"centring":"brain"})") ==
        R"(contract.json: centring: expected one of "image", "mass", got the text "brain")");
  CHECK(message(R"({"normalise":"none","background":"shifted","centring":"mass"})").empty());
}

TEST_CASE("centring by mass puts the centre of mass in the middle") {
  Context<Cpu> ctx({.threads = 2});
  Volume scan(Grid{{100, 90, 95}, scaling({1.5, 1.5, 1.5})});
  std::fill(scan.data(), scan.data() + scan.size(), 0.0f);
  for (Index i = 20; i < 60; ++i)
    for (Index j = 40; j < 80; ++j)
      for (Index k = 5; k < 45; ++k)
        scan.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k)) = 5;
  PreprocessingContract c = PreprocessingContract::small();
  c.normalise = Normalisation::none;
  const Preprocessed p = preprocess(ctx, scan, c);
  const Vec3 m = centre_of_mass(ctx, as_volume(p.data, p.record));
  CHECK(std::abs(m[0] - 39.5) < 0.05);
  CHECK(std::abs(m[1] - 47.5) < 0.05);
  CHECK(std::abs(m[2] - 39.5) < 0.05);
  const Vec3 here = p.record.model.affine * m, there = scan.affine * centre_of_mass(ctx, scan);
  for (std::size_t a = 0; a < 3; ++a) CHECK(std::abs(here[a] - there[a]) < 0.1);
}

TEST_CASE("a network's output comes back with the input's background") {
  Context<Cpu> ctx({.threads = 2});
  const Volume scan = ball({90, 100, 70}, 2, "RAS", 60);
  const Preprocessed p = preprocess(ctx, scan, at_2mm());
  Tensor<float, Cpu> output = p.data.clone();
  for (Index i = 0; i < output.size(); ++i) output.data()[i] += 0.01f;  // never exactly 0
  const Volume grey = restore(ctx, output, p.record), clean = restore(ctx, output, p.record, &p.data);
  Index wrong = 0, background = 0;
  for (Index i = 0; i < scan.size(); ++i)
    if (scan.data()[i] == 0) ++background, wrong += clean.data()[i] != 0;
  CHECK(background > 1000);
  CHECK(wrong == 0);
  // Without the mask, background of the model turns into mean tissue: where the scan was 0 it stays 0, but not beside it.
  CHECK(grey.values(45, 2, 35) == 0);
  CHECK_THROWS_AS(restore(ctx, Tensor<float, Cpu>(ctx, {3, 3, 3}), p.record), Error);
}

TEST_CASE("voxels that are exactly 0 in the scan are exactly 0 in what comes back, also from a coarse model") {
  Context<Cpu> ctx({.threads = 2});
  Volume scan = ball({83, 90, 77}, 2, "RAS", 60);
  scan.values(41, 44, 38) = std::numeric_limits<float>::quiet_NaN();
  const auto zero = [&](Index i) { return scan.data()[i] == 0 || std::isnan(scan.data()[i]); };
  for (const Normalisation normalise : {Normalisation::zscore_nonzero, Normalisation::zscore_all, Normalisation::none})
    for (const double mm : {4.0, 3.1, 2.0}) {
      CAPTURE(enum_name(normalise));
      CAPTURE(mm);
      PreprocessingContract c = at_2mm();
      c.normalise = normalise;
      c.spacing = {mm, mm, mm};
      c.shape = {48, 52, 44};
      const Preprocessed p = preprocess(ctx, scan, c);
      Tensor<float, Cpu> output = p.data.clone();
      for (Index i = 0; i < output.size(); ++i) output.data()[i] += 0.01f;
      const Volume back = restore(ctx, output, p.record, &p.data);
      Index halo = 0, lost = 0;
      for (Index i = 0; i < scan.size(); ++i) {
        if (zero(i)) halo += back.data()[i] != 0;
        else lost += back.data()[i] == 0;
      }
      CHECK(halo == 0);
      if (mm > 2) CHECK(lost < scan.size() / 1000);  // the other way round nothing is cut away
      // On another grid the nearest voxel of the scan decides.
      Grid finer{{166, 180, 154}, scan.affine * translation({-0.25, -0.25, -0.25}) * scaling({0.5, 0.5, 0.5})};
      const Volume fine = restore(ctx, output, p.record, &p.data, Interpolation::linear, &finer);
      Index wrong = 0;
      for (Index i = 0; i < 166; ++i)
        for (Index j = 0; j < 180; ++j)
          for (Index k = 0; k < 154; ++k)
            if (zero(((i / 2) * 90 + j / 2) * 77 + k / 2)) wrong += fine.data()[(i * 180 + j) * 154 + k] != 0;
      CHECK(wrong == 0);
    }
}

TEST_CASE("provenance goes with a volume, and samples and what comes back say what they are") {
  Context<Cpu> ctx({.threads = 1});
  const Volume scan = ball({40, 48, 40}, 4, "LPS", 69);
  const PreprocessingContract c = [] {
    PreprocessingContract four = at_2mm();
    four.spacing = {4, 4, 4}, four.shape = {40, 48, 40};
    return four;
  }();
  const Preprocessed p = preprocess(ctx, scan, c);
  CHECK(as_volume(p.data, p.record).provenance == Provenance::scan);
  const Volume back = restore(ctx, p.data, p.record);
  CHECK(back.provenance == Provenance::reconstruction);
  CHECK(reorient(ctx, back, parse_orientation("RAS")).provenance == Provenance::reconstruction);
  const Volume sample = sample_volume(p.data, c);
  CHECK(sample.provenance == Provenance::synthetic);
  CHECK(sample.affine == contract_grid(c).affine);
  CHECK_THROWS_AS(sample_volume(Tensor<float, Cpu>(ctx, {3, 3, 3}), c), Error);
  const Preprocessed again = preprocess(ctx, resample(ctx, sample, scan.grid()), c);
  CHECK(again.record.provenance == Provenance::synthetic);
  CHECK(restore(ctx, again.data, again.record).provenance ==
        Provenance::synthetic);  // a round trip makes no sample a scan
}

TEST_CASE("the same bits for 1, 2 and 3 threads, and for all 48 orientations") {
  Context<Cpu> one({.threads = 1}), two({.threads = 2}), three({.threads = 3});
  Volume scan = ball({61, 70, 55}, 2.3, "LPS", 60);
  scan.affine(0, 3) = 17.123;
  for (const Centring centring : {Centring::image, Centring::mass})
    for (const double mm : {2.3, 2.0, 3.1}) {
      PreprocessingContract c = at_2mm();
      c.centring = centring;
      c.spacing = {mm, mm, mm};
      const Preprocessed p = preprocess(one, scan, c);
      CHECK(test::same_bits(p.data, preprocess(two, scan, c).data));
      CHECK(test::same_bits(p.data, preprocess(three, scan, c).data));
      for (const Orientation& o : all_orientations()) {
        const Preprocessed q = preprocess(two, reorient(two, scan, o), c);
        CHECK_MESSAGE(test::same_bits(p.data, q.data), to_string(o), " ", enum_name(centring), " ", mm, " ",
                      test::max_difference(p.data, q.data));
        CHECK(detail::corner_distance(p.record.model.affine, q.record.model.affine, p.record.model.shape) < 1e-9);
      }
    }
}

TEST_CASE("a real scan in 48 orientations, stored as NIfTI each time, gives the same model input") {
  const char* data = std::getenv("BRAING3N_DATA");
  const std::filesystem::path path =
      std::filesystem::path(data != nullptr ? data : "../shared/data") / "cohort_2mm/sub-01_T1w_2mm.nii.gz";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no real scans here (set BRAING3N_DATA to the folder that has cohort_2mm/)");
    return;
  }
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder folder;
  const NiftiVolume scan = read_nifti(ctx, path);
  PreprocessingContract c = PreprocessingContract::small();
  const Preprocessed p = preprocess(ctx, scan.volume, c);
  for (const Orientation& o : all_orientations()) {
    NiftiWriteOptions options;
    options.file.overwrite = true;
    write_nifti(ctx, folder / "turned.nii", reorient(ctx, scan.volume, o), options);
    const NiftiVolume turned = read_nifti(ctx, folder / "turned.nii");
    const Preprocessed q = preprocess(ctx, turned.volume, c);
    CHECK_MESSAGE(test::max_difference(p.data, q.data) <= 1e-6, to_string(o));
    const Volume back = reorient(ctx, restore(ctx, q.data, q.record), parse_orientation("RAS"));
    const Volume expected = reorient(ctx, restore(ctx, p.data, p.record), parse_orientation("RAS"));
    double worst = 0;
    for (Index i = 0; i < back.size(); ++i)
      worst = std::max(worst, static_cast<double>(std::abs(back.data()[i] - expected.data()[i])));
    CHECK(worst <= 1e-4 * 3900);
  }
}
