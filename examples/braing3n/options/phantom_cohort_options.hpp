// The options of `braing3n phantom_cohort`.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/phantom/cohort_files.hpp"
#include "examples/braing3n/options/distribution_option.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct PhantomOptions {
  std::filesystem::path out, montage, gallery, surfaces;
  Index subjects = 0, visits = 1, first = 0;
  std::vector<Index> shape{80, 96, 80};
  std::vector<double> visit_years;
  std::vector<std::string> modalities{"T1"}, diseases;
  std::string distribution = default_distribution();
  bool confound = false;

  void add_to(CLI::App& app) {
    app.add_option("--out", out, "folder for the volumes and tables");
    app.add_option("--subjects", subjects, "number of subjects")->check(CLI::Range(1, 1000000));
    app.add_option("--first", first, "begin with this subject, from 0: part of a larger cohort, or other subjects")
        ->check(CLI::Range(0, 1000000));
    CLI::Option* const drawn =
        app.add_option("--visits", visits, "visits of each, 0.8 to 2.2 years apart")->check(CLI::Range(1, 20));
    app.add_option("--visit-years", visit_years, "instead: times of the visits in years after the first: 0,1,2,5,10")
        ->delimiter(',')
        ->excludes(drawn);
    add_distribution(app, distribution);
    app.add_option("--shape", shape, "voxels, covering 160 x 192 x 160 mm: 40,48,40 to 160,192,160")
        ->delimiter(',')
        ->expected(3);
    app.add_option("--modalities", modalities, "of every visit: T1,T2,FLAIR,T1c")->delimiter(',');
    app.add_option("--diseases", diseases, "of the subjects, as often to each other as in a whole cohort: HC,MCI,AD")
        ->delimiter(',');
    app.add_flag("--confound", confound, "the site depends on the disease, to test the search for confounds");
    app.add_option("--montage", montage, "a picture of the first volumes (PNG)");
    app.add_option("--gallery", gallery, "the pictures of docs/phantom.md (PNG)");
    app.add_option("--surfaces", surfaces, "four brains of --shape from outside (PNG)");
  }

  phantom::CohortOptions cohort(std::uint64_t seed) const {
    phantom::CohortOptions o{
        seed, confound, parse_enum<phantom::PhantomDistribution>("phantom: distribution", distribution), {}};
    for (const std::string& d : diseases) o.diseases.push_back(parse_enum<Disease>("phantom: disease", d));
    return o;
  }
  Extent3 extent() const { return {shape[0], shape[1], shape[2]}; }

  /// Throws Error (argument).
  void require_valid() const {
    if (out.empty() && gallery.empty() && surfaces.empty())
      fail(ErrorKind::argument, "phantom.output", "expected --out or --gallery or --surfaces");
    if (!out.empty() && subjects < 1) fail(ErrorKind::argument, "phantom.subjects", "--out needs --subjects");
    (void)phantom::head_grid(extent());
    phantom::require_visit_years(visit_years);
    std::vector<Modality> sorted = plan(0).modalities;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
      fail(ErrorKind::argument, "phantom.modality", "--modalities names one twice");
  }

  phantom::CohortPlan plan(std::uint64_t seed) const {
    phantom::CohortPlan p{cohort(seed), subjects, visits, extent(), {}, visit_years, first};
    for (const std::string& m : modalities) p.modalities.push_back(parse_enum<Modality>("phantom: modality", m));
    return p;
  }
};

}  // namespace braing3n::examples
