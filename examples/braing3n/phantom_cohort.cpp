// A synthetic cohort whose truth is known, for tests without patients: brains as NIfTI files, volumes.csv with
// their labels, truth.csv with the volumes of their tissues. docs/phantom.md describes the distributions.
//
//   braing3n phantom_cohort --out cohort --subjects 100 --visits 2 --shape 80,96,80 --modalities T1,T2,FLAIR,T1c
//   braing3n phantom_cohort --gallery gallery.png
//   braing3n phantom_cohort --surfaces surfaces.png --shape 160,192,160
#include <iostream>

#include "braing3n/format/csv_writer.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/phantom/cohort.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/surface_view.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::filesystem::path out, montage, gallery, surfaces;
  Index subjects = 0, visits = 1;
  std::vector<Index> shape{80, 96, 80};
  std::vector<std::string> modalities{"T1"};
  bool confound = false;

  Extent3 extent() const { return {shape[0], shape[1], shape[2]}; }
};

/// One row of the tables.
struct Scan {
  std::uint32_t subject, visit;
  Modality modality;
  std::string volume_id() const { return phantom::volume_id(subject, visit, modality); }
  std::filesystem::path path() const {
    return std::filesystem::path("volumes") / ("SYNTHETIC_" + volume_id() + ".nii.gz");
  }
};

std::vector<Scan> scans_of(const Options& o) {
  std::vector<Scan> scans;
  for (Index s = 0; s < o.subjects; ++s)
    for (Index v = 0; v < o.visits; ++v)
      for (const std::string& m : o.modalities)
        scans.push_back(
            {static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(v), parse_enum<Modality>("modality", m)});
  return scans;
}

/// Whole numbers of 16 bits with a slope, as scanners write them; what is not 0 stays so.
void write_scan(Context<Cpu>& ctx, const std::filesystem::path& path, Volume& image, const Scan& scan,
                const CommonOptions& common) {
  float most = 0;
  for (Index i = 0; i < image.size(); ++i) most = std::max(most, image.data()[i]);
  NiftiWriteOptions write;
  write.type = NiftiType::int16;
  write.slope = static_cast<double>(most) / 32000;
  for (Index i = 0; i < image.size(); ++i)
    if (image.data()[i] > 0) image.data()[i] = std::max(image.data()[i], static_cast<float>(write.slope));
  write.description =
      concat(mark_of(image.provenance), " braing3n ", version(), " phantom seed ", common.seed, " ", scan.volume_id());
  write.description.resize(std::min<std::size_t>(write.description.size(), 79));
  write.file.overwrite = common.force;
  write_nifti(ctx, path, image, write);
}

/// The tables of the volumes that were written; cohort.json says how to make them again.
void write_tables(const Options& o, const phantom::CohortOptions& cohort, const std::vector<Scan>& scans,
                  const std::vector<phantom::Truth>& truths, const WriteOptions& write) {
  std::vector<std::string> truth_header{"volume_id"};
  truth_header.insert(truth_header.end(), phantom::truth_columns.begin(), phantom::truth_columns.end());
  CsvWriter truth(o.out / "truth.csv", truth_header, write);
  CsvWriter volumes(o.out / "volumes.csv",
                    {"volume_id", "subject_id", "session_id", "path", "modality", "age", "sex", "disease", "site",
                     "idh1", "cohort", "cdr", "days"},
                    write);
  const auto rounded = [](double v, double unit) { return std::round(v / unit) * unit; };
  for (std::size_t i = 0; i < scans.size(); ++i) {
    const Scan& s = scans[i];
    const phantom::Subject subject = phantom::draw_subject(cohort, s.subject);
    const phantom::Visit visit = phantom::draw_visit(subject, s.visit);
    const phantom::Labels labels = phantom::labels_at(subject, visit.age);
    volumes.row(s.volume_id(), phantom::subject_id(s.subject), phantom::session_id(s.visit), s.path().generic_string(),
                enum_name(s.modality), std::round(visit.age * 100) / 100, labels.sex, labels.disease, labels.site,
                labels.idh1, "phantom", labels.cdr, visit.days);
    std::vector<std::string> cells{s.volume_id()};
    for (const double ml : phantom::truth_values(truths[i])) cells.push_back(concat(rounded(ml, 1e-3)));
    truth.cells(cells);
  }
  volumes.finish();
  truth.finish();
  Json sidecar = {{"kind", "SYNTHETIC braing3n phantom cohort"},
                  {"version", version()},
                  {"seed", cohort.seed},
                  {"subjects", o.subjects},
                  {"visits", o.visits},
                  {"shape", o.shape},
                  {"modalities", o.modalities},
                  {"confound", o.confound},
                  {"volumes", scans.size()}};
  write_text(o.out / "cohort.json", sidecar.dump(2) + "\n", write);
}

int make_cohort(Context<Cpu>& ctx, const Options& o, const CommonOptions& common) {
  const phantom::CohortOptions cohort{common.seed, o.confound};
  const std::vector<Scan> scans = scans_of(o);
  const WriteOptions write{.overwrite = common.force};
  if (!common.force) {
    std::vector<std::filesystem::path> outputs{o.out / "volumes.csv", o.out / "truth.csv", o.out / "cohort.json"};
    if (!o.montage.empty()) outputs.push_back(o.montage);
    for (const Scan& s : scans) outputs.push_back(o.out / s.path());
    for (const auto& path : outputs)
      if (std::filesystem::exists(path))
        throw Error(ErrorKind::file, "phantom.exists", "exists already; --force replaces it", path.string());
  }
  const FileLock lock = lock_folder(o.out);
  make_folder(o.out / "volumes");

  JsonLog log(common.json_log);
  std::vector<phantom::Truth> truths;
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  {
    Progress progress("phantom", static_cast<Index>(scans.size()), common.quiet);
    phantom::Subject subject;
    phantom::TissueMaps tissues;
    for (std::size_t i = 0; i < scans.size() && !interrupted(); ++i) {
      const Scan& s = scans[i];
      if (i == 0 || s.subject != scans[i - 1].subject || s.visit != scans[i - 1].visit) {
        subject = phantom::draw_subject(cohort, s.subject);
        tissues = phantom::render_tissues(ctx, subject, phantom::draw_visit(subject, s.visit).age, s.visit, o.extent());
      }
      Volume image = phantom::render_image(ctx, subject, tissues, {.modality = s.modality, .visit = s.visit});
      if (!o.montage.empty() && tiles.size() < 24) {
        tiles.push_back(draw_planes(ctx, image, {.mm_per_pixel = 2.0, .labels = false}));
        captions.push_back(concat(s.volume_id(), " ", enum_name(subject.disease), " ", std::lround(tissues.age)));
      }
      write_scan(ctx, o.out / s.path(), image, s, common);
      truths.push_back(tissues.truth);
      progress.advance(1, s.volume_id());
      log.event("volume", {{"volume_id", s.volume_id()}, {"file", s.path().generic_string()}});
    }
  }
  const bool stopped = truths.size() < scans.size();
  if (truths.empty()) return exit_interrupted;
  write_tables(o, cohort, {scans.begin(), scans.begin() + static_cast<std::ptrdiff_t>(truths.size())}, truths, write);
  if (!o.montage.empty()) write_png(o.montage, montage(tiles, std::min<Index>(3, std::ssize(tiles)), captions), write);
  std::cout << truths.size() << " of " << scans.size() << " SYNTHETIC volumes in " << (o.out / "volumes.csv").string()
            << '\n';
  log.event("done", {{"volumes", truths.size()}});
  return stopped ? exit_interrupted : exit_done;
}

/// The pictures of docs/phantom.md: one woman at 25, 55 and 85 years, healthy and with AD; the four modalities; both IDH1 states.
void draw_gallery(Context<Cpu>& ctx, const Options& o, const CommonOptions& common) {
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  const auto add = [&](phantom::Subject subject, double age, std::initializer_list<Modality> modalities,
                       const std::string& caption) {
    stop_if_interrupted();
    subject.first_age = age;
    const phantom::TissueMaps tissues = phantom::render_tissues(ctx, subject, age, 0, o.extent());
    PlaneOptions planes{.mm_per_pixel = 2.0, .labels = false};
    const Vec3 tumour{-subject.tumour.centre[0], -subject.tumour.centre[1], subject.tumour.centre[2]},
        middle{-6, -8, 0};
    planes.centre = subject.has_tumour() ? &tumour : &middle;
    for (const Modality m : modalities) {
      tiles.push_back(draw_planes(ctx, phantom::render_image(ctx, subject, tissues, {.modality = m}), planes));
      captions.push_back(concat(caption, " ", enum_name(m)));
    }
  };
  const phantom::CohortOptions cohort{common.seed, false};
  const auto first = [&](auto&& wanted) {
    for (std::uint32_t i = 0;; ++i)
      if (const phantom::Subject s = phantom::draw_subject(cohort, i); wanted(s)) return s;
  };
  phantom::Subject woman =
      first([](const phantom::Subject& s) { return s.sex == Sex::female && s.disease == Disease::HC && s.site == 0; });
  for (const double age : {25.0, 55.0, 85.0})
    for (const Disease d : {Disease::HC, Disease::AD}) {
      woman.disease = d;
      woman.duration = 4;
      add(woman, age, {Modality::T1}, concat(enum_name(d), " ", age));
    }
  const auto all = {Modality::T1, Modality::T2, Modality::FLAIR, Modality::T1c};
  woman.disease = Disease::HC;
  add(woman, 70, all, "HC 70");
  for (const Idh1 state : {Idh1::wildtype, Idh1::mutant}) {
    const phantom::Subject with_tumour = first([&](const phantom::Subject& subject) {
      return subject.idh1 == state && (subject.tumour.necrosis > 0) == (state == Idh1::wildtype);
    });
    add(with_tumour, with_tumour.first_age, all, state == Idh1::wildtype ? "wild type" : "mutant");
  }
  write_png(o.gallery, montage(tiles, 2, captions), {.overwrite = common.force});
  std::cout << "wrote " << o.gallery.string() << '\n';
}

/// Healthy brains at three ages and one with AD, from the left and from above: sulci open with age.
void draw_surfaces(Context<Cpu>& ctx, const Options& o, const CommonOptions& common) {
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  for (const SurfaceSide side : {SurfaceSide::left, SurfaceSide::superior})
    for (const auto& [age, disease] :
         {std::pair{40.0, Disease::HC}, {60.0, Disease::HC}, {80.0, Disease::HC}, {80.0, Disease::AD}}) {
      stop_if_interrupted();
      phantom::Subject subject = phantom::draw_subject({common.seed, false}, 0);
      subject.disease = disease, subject.duration = 4, subject.first_age = age;
      const phantom::TissueMaps tissues = phantom::render_tissues(ctx, subject, age, 0, o.extent());
      const Volume t1 = phantom::render_image(ctx, subject, tissues, {.modality = Modality::T1});
      tiles.push_back(draw_surface(ctx, t1, {.side = side, .width = 200, .height = 200}));
      captions.push_back(concat(enum_name(disease), " ", age, " ", surface_side_names[static_cast<std::size_t>(side)]));
    }
  write_png(o.surfaces, montage(tiles, 4, captions), {.overwrite = common.force});
  std::cout << "wrote " << o.surfaces.string() << '\n';
}

}  // namespace

int phantom_cohort_command(int argc, char** argv) {
  Options o;
  Program program("phantom_cohort", "Makes a synthetic cohort of brains whose truth is known.");
  program.app.add_option("--out", o.out, "folder for the volumes and tables");
  program.app.add_option("--subjects", o.subjects, "number of subjects")->check(CLI::Range(1, 1000000));
  program.app.add_option("--visits", o.visits, "visits of each, 0.8 to 2.2 years apart")->check(CLI::Range(1, 20));
  program.app.add_option("--shape", o.shape, "voxels, covering 160 x 192 x 160 mm: 40,48,40 to 160,192,160")
      ->delimiter(',')
      ->expected(3);
  program.app.add_option("--modalities", o.modalities, "of every visit: T1,T2,FLAIR,T1c")->delimiter(',');
  program.app.add_flag("--confound", o.confound, "the site follows the disease, to test what notices it");
  program.app.add_option("--montage", o.montage, "a picture of the first volumes (PNG)");
  program.app.add_option("--gallery", o.gallery, "the pictures of docs/phantom.md (PNG)");
  program.app.add_option("--surfaces", o.surfaces, "four brains of --shape from outside (PNG)");
  program.without({"--device", "--precision", "--provider"});
  return program.run(argc, argv, [&]() -> int {
    if (o.out.empty() && o.gallery.empty() && o.surfaces.empty())
      fail(ErrorKind::argument, "phantom.output", "expected --out or --gallery or --surfaces");
    if (!o.out.empty() && o.subjects < 1) fail(ErrorKind::argument, "phantom.subjects", "--out needs --subjects");
    (void)phantom::head_grid(o.extent());
    std::vector<std::string> sorted;
    for (std::string& m : o.modalities) sorted.push_back(m = enum_name(parse_enum<Modality>("phantom: modality", m)));
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
      fail(ErrorKind::argument, "phantom.modality", "--modalities names one twice");
    OutputGuard guard;
    for (const auto& picture : {o.montage, o.gallery, o.surfaces}) {
      if (!picture.empty()) require_ending(picture, {".png"});
      guard.output(picture);
    }
    if (!o.out.empty())
      for (const char* table : {"volumes.csv", "truth.csv", "cohort.json"}) guard.output(o.out / table);
    guard.output(program.common.json_log);
    const auto ctx = make_cpu_context(program.common);
    if (!o.gallery.empty()) draw_gallery(*ctx, o, program.common);
    if (!o.surfaces.empty()) draw_surfaces(*ctx, o, program.common);
    return o.out.empty() ? static_cast<int>(exit_done) : make_cohort(*ctx, o, program.common);
  });
}
