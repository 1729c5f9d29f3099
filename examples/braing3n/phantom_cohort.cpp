// A synthetic cohort whose truth is known: volumes, tables, pictures. Everything is determined by --seed.
//
//   braing3n phantom_cohort --out cohort/ --subjects 200
//   braing3n phantom_cohort --out cohort/ --subjects 50 --visits 3 --modalities T1,T2,FLAIR,T1c --montage cohort.png
//   braing3n phantom_cohort --out cohort/ --subjects 50 --distribution phantom-2 --visit-years 0,1,2,5,10
//   braing3n phantom_cohort --surfaces surfaces.png --shape 160,192,160
#include <iostream>

#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/phantom/cohort_files.hpp"
#include "braing3n/report/phantom_pictures.hpp"
#include "braing3n/report/png.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/phantom_cohort_options.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int make_cohort(Context<Cpu>& ctx, const PhantomOptions& o, const CommonOptions& common) {
  const phantom::CohortPlan plan = o.plan(common.seed);
  const WriteOptions write{.overwrite = common.force};
  std::vector<std::filesystem::path> outputs = phantom::cohort_files(o.out, plan);
  if (!o.montage.empty()) outputs.push_back(o.montage);
  for (const auto& path : outputs) require_new(path, common, "phantom.exists");
  const FileLock lock = lock_folder(o.out);

  JsonLog log(common.json_log);
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  const Index total = std::ssize(phantom::scans_of(plan));
  Progress progress("phantom", total, common.quiet);
  phantom::CohortHooks hooks;
  hooks.on_render = [&](const phantom::RenderedScan& r) {
    if (o.montage.empty() || tiles.size() >= 24) return;
    tiles.push_back(draw_planes(ctx, r.image, {.mm_per_pixel = 2.0, .labels = false}));
    captions.push_back(concat(r.scan.volume_id(), " ", enum_name(r.subject.disease), " ", std::lround(r.tissues.age)));
  };
  hooks.on_written = [&](const phantom::Scan& s) {
    progress.advance(1, s.volume_id());
    log.event("volume", {{"volume_id", s.volume_id()}, {"file", s.path().generic_string()}});
  };
  hooks.stop = interrupted;
  const Index written = phantom::write_cohort(ctx, o.out, plan, write, hooks);
  progress.close();
  if (written == 0) return exit_interrupted;
  if (!o.montage.empty()) write_png(o.montage, montage(tiles, std::min<Index>(3, std::ssize(tiles)), captions), write);
  std::cout << written << " of " << total << " SYNTHETIC volumes in " << (o.out / "volumes.csv").string() << '\n';
  log.event("done", {{"volumes", written}});
  return written < total ? exit_interrupted : exit_done;
}

/// The pictures that need no cohort.
void draw(Context<Cpu>& ctx, const PhantomOptions& o, const CommonOptions& common) {
  phantom::CohortOptions cohort = o.cohort(common.seed);
  cohort.confound = false;
  const auto save = [&](const std::filesystem::path& path, const auto& drawing) {
    if (path.empty()) return;
    write_png(path, drawing(ctx, cohort, o.extent(), stop_if_interrupted), {.overwrite = common.force});
    std::cout << "wrote " << path.string() << '\n';
  };
  save(o.gallery, draw_phantom_gallery);
  save(o.surfaces, draw_phantom_surfaces);
}

}  // namespace

int phantom_cohort_command(int argc, char** argv) {
  PhantomOptions o;
  Program program("phantom_cohort", "Makes a synthetic cohort of brains whose truth is known.");
  o.add_to(program.app);
  program.without({"--device", "--precision", "--provider"});
  return program.run(argc, argv, [&]() -> int {
    o.require_valid();
    OutputGuard guard;
    for (const auto& picture : {o.montage, o.gallery, o.surfaces}) {
      if (!picture.empty()) require_ending(picture, {".png"});
      guard.output(picture);
    }
    if (!o.out.empty())
      for (const char* table : {"volumes.csv", "truth.csv", "cohort.json"}) guard.output(o.out / table);
    guard.output(program.common.json_log);
    const auto ctx = make_cpu_context(program.common);
    draw(*ctx, o, program.common);
    return o.out.empty() ? static_cast<int>(exit_done) : make_cohort(*ctx, o, program.common);
  });
}
