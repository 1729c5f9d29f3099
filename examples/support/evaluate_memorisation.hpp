// `evaluate memorisation`: has a transformer learnt its training scans by heart? Distances from samples to their nearest training scan
// beside those between the training scans, and copies planted among the samples to see that the search finds them.
#pragma once

#include <algorithm>
#include <iostream>
#include <map>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/latents.hpp"
#include "braing3n/data/sample_record.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/eval/memorisation.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/report/table.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/context.hpp"
#include "examples/support/sample_arms.hpp"
#include "examples/support/sampling_arguments.hpp"
#include "examples/support/unseen_people.hpp"

namespace braing3n::examples {

struct MemorisationArguments {
  std::string model, tokenizer, latents, data, split, train = "train", samples, out;
  SamplerArguments sampler;
  Index n = 256, plant = 0, pictures = 6;
  double cfg = 1, noise = 0.05;
  std::uint64_t seed = 2025;
  CLI::Option* count = nullptr;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a diffusion transformer: its file, or the folder of its training")->required();
    app.add_option("--tokenizer", tokenizer, "the tokenizer whose latents it learnt")->required();
    app.add_option("--latents", latents, "the latents that it learnt (encode --latents)")->required();
    app.add_option("--data", data, "table with volume_id, subject_id and the conditions: volumes.csv")->required();
    app.add_option("--split", split, "table subject_id,split of the training")->required();
    app.add_option("--train", train, "the set that it learnt");
    app.add_option("--samples", samples,
                   "a folder of generate: its samples are looked for, made again from their sidecars");
    count = app.add_option("--n", n, "samples to make, under the conditions of training scans")
                ->check(CLI::Range(1, 1000000));
    app.add_option("--cfg", cfg, "guidance of these samples, 1: none");
    sampler.add_to(app);
    app.add_option("--plant", plant, "so many training scans, slightly changed, among the samples: are they found?")
        ->check(CLI::Range(0, 100000));
    app.add_option("--plant-noise", noise,
                   "how much they are changed: normal numbers, in deviations of the latents' channels")
        ->check(CLI::Range(0.0, 10.0));
    app.add_option("--seed", seed, "seed of the samples and of what is planted");
    app.add_option("--pictures", pictures, "pairs in the picture")->check(CLI::Range(0, 100));
    app.add_option("--out", out, "folder for tables.txt, memorisation.json and montage.png")->required();
  }
};

namespace detail {

inline constexpr std::uint32_t planted_step = 0xffffff00u;  // of the noise on planted copies: no training gets there

/// A sample to be looked for.
struct Suspect {
  std::string name, conditions;
  Index planted = -1;  // the training row that it is a copy of
};

inline Json summary_json(const DistanceSummary& s) {
  return {{"count", s.count},     {"mean", s.mean},      {"median", s.median}, {"fifth_percentile", s.fifth},
          {"minimum", s.minimum}, {"maximum", s.maximum}};
}

/// Copies can only be found among the people that trained the transformer. Throws Error (argument) where nobody of them did.
inline void require_trained(const std::string& model, const std::set<std::string>& people, const std::string& set) {
  const std::vector<std::string> strangers = people_not_trained(model, people);
  if (strangers.empty()) return;
  const std::string text = concat(strangers.size(), " of the ", people.size(), " people of the set ", in_quotes(set),
                                  " did not train the model: ", braing3n::detail::some_of(strangers));
  if (strangers.size() == people.size()) throw Error(ErrorKind::argument, "memorisation.people", text, model);
  std::cerr << "evaluate: warning: " << text << '\n';
}

}  // namespace detail

/// The sidecars of a folder of generate, by name. Throws Error (file, config): none, of other models.
inline std::vector<SampleRecord> read_sample_records(const std::filesystem::path& folder, const std::string& model_hash,
                                                     const std::string& tokenizer_hash) {
  std::vector<std::filesystem::path> paths;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(folder, problem))
    if (entry.path().extension() == ".json" && entry.path().filename().string().starts_with("SYNTHETIC_"))
      paths.push_back(entry.path());
  if (problem || paths.empty())
    throw Error(ErrorKind::file, "samples.none", "no sidecars SYNTHETIC_*.json of generate", folder.string());
  std::sort(paths.begin(), paths.end());
  std::vector<SampleRecord> records;
  for (const auto& path : paths) {
    records.push_back(read_sample_record(path));
    if (records.back().model.hash != model_hash || records.back().tokenizer.hash != tokenizer_hash)
      throw Error(ErrorKind::config, "samples.model",
                  concat("the sample was made by transformer ", records.back().model.hash, " and tokenizer ",
                         records.back().tokenizer.hash, ", these are ", model_hash, " and ", tokenizer_hash),
                  path.string());
  }
  return records;
}

inline int evaluate_memorisation(const Program& program, const MemorisationArguments& a) {
  using detail::Suspect;
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  const WriteOptions write{.overwrite = common.force};
  require_new(out / "memorisation.json", common);
  const FileLock lock = open_results(out, common, {"memorisation.json", "tables.txt", "montage.png"},
                                     {model_path(a.model), model_path(a.tokenizer), a.latents, a.data, a.split});
  if (!a.samples.empty() && a.count->count() > 0)
    fail(ErrorKind::argument, "memorisation.samples", "--samples and --n exclude each other");
  require_guidance(a.cfg);
  const auto ctx = make_cpu_context(common);
  const SampleArms arms(*ctx, a.model, a.tokenizer);
  const std::vector<ConditionField>& fields = arms.conditions();
  const LatentFile file(a.latents);
  if (file.channels() != arms.dit().model.config.channels || file.grid() != arms.dit().model.config.grid ||
      (!file.model_hash().empty() && file.model_hash() != arms.tokenizer().hash))
    throw Error(
        ErrorKind::config, "memorisation.latents",
        concat("the latents were made by tokenizer ", file.model_hash(), ", this one is ", arms.tokenizer().hash),
        file.path());

  // The training scans.
  const Manifest manifest = read_manifest(std::filesystem::path(a.data), {.check_files = false, .need_paths = false});
  const Split split = read_split(a.split);
  std::vector<Index> scans;
  std::vector<std::string> ids, people;
  std::vector<float> values;
  for (const Index i : rows_of(manifest, split, a.train)) {
    const ScanRow& s = manifest.scans[static_cast<std::size_t>(i)];
    const auto row = file.find(s.volume_id);
    if (!row) continue;
    scans.push_back(i);
    ids.push_back(s.volume_id);
    people.push_back(s.subject_id);
    values.resize(values.size() + static_cast<std::size_t>(file.row_size()));
    file.read(*row, std::span<float>(values.data() + values.size() - static_cast<std::size_t>(file.row_size()),
                                     static_cast<std::size_t>(file.row_size())));
  }
  if (scans.empty())
    throw Error(ErrorKind::format, "memorisation.none",
                concat("no row belongs to a scan of the set ", in_quotes(a.train)), file.path());
  detail::require_trained(a.model, {people.begin(), people.end()}, a.train);
  const Index trained = std::ssize(scans), size = file.row_size();
  const auto training = Tensor<float, Cpu>::from_host(*ctx, {trained, size}, values);

  // The samples: of sidecars, or under conditions of training scans, under which a copy is likeliest.
  std::vector<Suspect> suspects;
  std::vector<float> latents;
  {
    std::vector<SampleRecord> records;
    std::vector<ConditionRow> rows;
    if (!a.samples.empty()) {
      records = read_sample_records(a.samples, arms.dit().hash, arms.tokenizer().hash);
      for (const SampleRecord& r : records) {
        rows.push_back(conditions_from_json(fields, r.conditions));
        suspects.push_back({r.file, describe_conditions(fields, rows.back())});
      }
    } else {
      std::vector<Index> chosen;
      for (Index i = 0; i < a.n; ++i)
        chosen.push_back(scans[static_cast<std::size_t>(a.n <= trained ? i * trained / a.n : i % trained)]);
      rows = condition_rows(fields, manifest, chosen);
      SampleRecord r;
      r.seed = a.seed;
      r.sampling = a.sampler.options();
      r.sampling.guidance.scale = a.cfg;
      for (Index i = 0; i < a.n; ++i) {
        r.sample = static_cast<std::uint32_t>(i);
        records.push_back(r);
        suspects.push_back({concat("sample ", i), describe_conditions(fields, rows[static_cast<std::size_t>(i)])});
      }
    }
    Progress progress("sampling", std::ssize(records), common.quiet);
    for (std::size_t begin = 0, end = 0; begin < records.size(); begin = end) {
      // As many together as were made in the same way.
      const std::string way = concat(records[begin].seed, ' ', json_text(records[begin].sampling));
      std::vector<std::uint32_t> numbers;
      for (end = begin; end < records.size() && static_cast<Index>(end - begin) < arms.batch() &&
                        concat(records[end].seed, ' ', json_text(records[end].sampling)) == way;
           ++end)
        numbers.push_back(records[end].sample);
      const std::vector<ConditionRow> some(rows.begin() + static_cast<std::ptrdiff_t>(begin),
                                           rows.begin() + static_cast<std::ptrdiff_t>(end));
      const Tensor<float, Cpu> z =
          arms.latents(numbers, some, records[begin].seed, records[begin].sampling, "memorisation");
      latents.insert(latents.end(), z.data(), z.data() + z.size());
      progress.advance(static_cast<Index>(numbers.size()));
    }
  }
  const Index made = std::ssize(suspects);
  for (Index k = 0; k < a.plant; ++k) {
    const Philox rng(a.seed, Purpose::noise, detail::planted_step, static_cast<std::uint32_t>(k));
    const Index row =
        static_cast<Index>(static_cast<std::uint64_t>(rng.integer(0)) * static_cast<std::uint64_t>(trained) >> 32);
    suspects.push_back({concat("planted ", k), {}, row});
    for (Index i = 0; i < size; ++i)
      latents.push_back(
          values[static_cast<std::size_t>(row * size + i)] +
          static_cast<float>(a.noise * arms.dit().latents.sd[static_cast<std::size_t>(i % file.channels())] *
                             static_cast<double>(rng.normal(4 + static_cast<std::uint64_t>(i)))));
  }
  const Index all = std::ssize(suspects);
  const auto samples = Tensor<float, Cpu>::from_host(*ctx, {all, size}, latents);
  if (!common.quiet) std::cerr << "searching " << trained << " training scans of " << size << " numbers\n";
  const MemorisationAudit audit = audit_memorisation(samples, training, people);
  stop_if_interrupted();

  // Counts and distances of what the model made; planted copies stand apart.
  const auto split_at = audit.nearest.begin() + made;
  const DistanceSummary of_samples = DistanceSummary::of({audit.nearest.begin(), split_at}),
                        of_planted = DistanceSummary::of({split_at, audit.nearest.end()});
  const auto is_in = [](const std::vector<Index>& list, Index i) {
    return std::binary_search(list.begin(), list.end(), i);
  };
  const auto below = [made](const std::vector<Index>& list) {
    return std::lower_bound(list.begin(), list.end(), made) - list.begin();
  };
  const Index copies = below(audit.copies), copies_of_people = below(audit.copies_of_people);
  Index found = 0;
  for (Index i = made; i < all; ++i)
    found += is_in(audit.copies, i) &&
             audit.nearest[static_cast<std::size_t>(i)].row == suspects[static_cast<std::size_t>(i)].planted;
  const double ratio = of_samples.mean / audit.real.mean;

  std::ostringstream text;
  text << "Distance to the nearest training scan, of " << trained << " with " << size << " numbers each ("
       << file.path() << ")\n\n";
  Table table({"", "count", "mean", "median", "5th percentile", "least", "largest"});
  const auto row = [&](const char* name, const DistanceSummary& s) {
    table.row(name, s.count, decimals(s.mean, 2), decimals(s.median, 2), decimals(s.fifth, 2), decimals(s.minimum, 2),
              decimals(s.maximum, 2));
  };
  row("training scan to any other", audit.real);
  row("training scan to another person's", audit.real_other_people);
  row("sample", of_samples);
  if (a.plant > 0) row("planted copy", of_planted);
  table.print(text);
  const auto share = [&](Index count) {
    return concat(count, " of ", made, " samples (",
                  decimals(100.0 * static_cast<double>(count) / static_cast<double>(made), 1), " %)");
  };
  text << "\nCopies, nearer than the 5th percentile of any other scan, " << decimals(audit.real.fifth, 2) << ": "
       << share(copies) << "\nNearer than the 5th percentile of another person's scan, "
       << decimals(audit.real_other_people.fifth, 2) << ": " << share(copies_of_people)
       << "; about 5 % of scans of people who were never seen are\nMean distance of samples over that of training "
          "scans: "
       << decimals(ratio, 3) << '\n';
  if (a.plant > 0) text << "Planted copies found: " << found << " of " << a.plant << '\n';
  text << '\n';

  std::vector<Index> order(static_cast<std::size_t>(all));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
    return audit.nearest[static_cast<std::size_t>(i)].distance < audit.nearest[static_cast<std::size_t>(j)].distance;
  });
  Table pairs({"nearest pairs", "distance", "training scan", "", "conditions of the sample"});
  Json rows = Json::array();
  for (std::size_t k = 0; k < order.size(); ++k) {
    const Index i = order[k];
    const Suspect& s = suspects[static_cast<std::size_t>(i)];
    const Neighbour& near = audit.nearest[static_cast<std::size_t>(i)];
    const std::string& id = ids[static_cast<std::size_t>(near.row)];
    const bool copy = is_in(audit.copies, i), of_person = is_in(audit.copies_of_people, i);
    if (k < 12)
      pairs.row(s.name, decimals(near.distance, 2), id, copy ? "COPY" : of_person ? "near" : "", s.conditions);
    Json entry = {
        {"sample", s.name}, {"nearest", id}, {"distance", near.distance}, {"copy", copy}, {"near_person", of_person}};
    if (s.planted >= 0) entry["planted"] = ids[static_cast<std::size_t>(s.planted)];
    rows.push_back(std::move(entry));
  }
  pairs.print(text);
  std::cout << text.str();

  Json report = {{"kind", "braing3n memorisation audit"},
                 {"model", arms.dit().hash},
                 {"tokenizer", arms.tokenizer().hash},
                 {"training_scans", trained},
                 {"samples", made},
                 {"real", detail::summary_json(audit.real)},
                 {"real_other_people", detail::summary_json(audit.real_other_people)},
                 {"generated", detail::summary_json(of_samples)},
                 {"copies", copies},
                 {"near_people", copies_of_people},
                 {"ratio", ratio},
                 {"planted", a.plant},
                 {"planted_found", found},
                 {"nearest", rows}};
  if (a.samples.empty())
    report["sampling"] = {{"cfg", a.cfg}, {"steps", a.sampler.steps}, {"sampler", a.sampler.sampler}, {"seed", a.seed}};
  write_text(out / "memorisation.json", report.dump(2) + "\n", write);
  write_text(out / "tables.txt", text.str(), write);
  if (a.pictures > 0) {
    const Extent3 g = file.grid();
    std::vector<Image> tiles;
    std::vector<std::string> captions;
    const auto volume = [&](const Tensor<float, Cpu>& z) {
      Pass<Cpu> pass(*ctx);
      return arms.tokenizer()
          .model.decode(pass, Var<float, Cpu>(z.reshape({1, g[0], g[1], g[2], file.channels()})))
          .value();
    };
    for (std::size_t k = 0; k < std::min(order.size(), static_cast<std::size_t>(a.pictures)); ++k) {
      stop_if_interrupted();
      const Index i = order[k];
      const Neighbour& near = audit.nearest[static_cast<std::size_t>(i)];
      const auto scan = volume(training.slice(near.row, near.row + 1));
      for (Image& image : preview_rows(*ctx, arms.contract(), scan, {volume(samples.slice(i, i + 1)), scan}))
        tiles.push_back(std::move(image));
      captions.push_back(
          concat("SYNTHETIC ", suspects[static_cast<std::size_t>(i)].name, ", at ", decimals(near.distance, 2)));
      captions.push_back(concat(ids[static_cast<std::size_t>(near.row)], " through the tokenizer"));
    }
    write_png(out / "montage.png", montage(tiles, 2, captions), {.overwrite = true});
  }
  if (found < a.plant) {
    std::cerr << "evaluate: " << a.plant - found << " planted copies were not found\n";
    return exit_some_failed;
  }
  return exit_done;
}

}  // namespace braing3n::examples
