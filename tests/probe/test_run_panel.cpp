// A panel from files to results, and a saved probe on another table.
#include <doctest/doctest.h>

#include "braing3n/probe/apply_table.hpp"
#include "braing3n/probe/run_panel.hpp"
#include "braing3n/table/embedding_file.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

using Folder = test::ScratchFolder;

/// 60 scans of 30 subjects; f1 tells the sex, f2 says nothing.
struct Files {
  Folder folder;
  std::string features, labels;
  Files() {
    std::string f = "id,f1,f2\n", l = "id,subject,sex,age,site\n";
    for (int i = 0; i < 60; ++i) {
      const int person = i / 2;
      f += concat("s", i, ',', person % 2 * 3 + i % 5 * 0.1, ',', i * i % 17, '\n');
      l += concat("s", i, ",p", person, ',', person % 2 == 0 ? 'F' : 'M', ',', 20 + person, ',',
                  person % 3 == 0 ? "a" : "b", '\n');
    }
    features = folder.write("f.csv", f);
    labels = folder.write("l.csv", l);
  }
  PanelPlan plan(const std::string& tasks) const {
    PanelPlan p;
    p.tables.features = {features};
    p.tables.labels = labels;
    p.tasks = parse_tasks(tasks);
    p.panel.uncertainty = {.replicates = 50, .permutations = 49};
    return p;
  }
};

}  // namespace

TEST_CASE("a panel runs from files to scores, and tells its observer") {
  const Files files;
  Context<Cpu> ctx({.threads = 2});
  PanelPlan plan = files.plan("sex,absent");
  plan.column_advice = " (advice)";
  std::vector<std::string> told;
  PanelObserver observer;
  observer.started = [&](std::size_t tasks, std::size_t rows, std::size_t subjects) {
    told.push_back(concat(tasks, ' ', rows, ' ', subjects));
  };
  observer.table_done = [&](const PanelRun& run, double) { told.push_back(run.features); };
  const PanelAnalysis a = run_panel(ctx, plan, observer);
  CHECK(told == std::vector<std::string>{"2 60 30", "f"});
  CHECK(a.asked == 1);
  REQUIRE(a.report.runs.size() == 1);
  const std::vector<TaskResult>& tasks = a.report.runs[0].tasks;
  REQUIRE(tasks.size() == 3);  // sex, site as a confound, and the one that the labels do not have
  CHECK(tasks[0].scores["auc"].mean > 0.99);
  CHECK(tasks[1].confound);
  CHECK_FALSE(tasks[2].ok());
  CHECK(a.report.runs[0].confounds[0].size() == 1);
  CHECK(a.report.warnings.back().ends_with("\"f1\", \"f2\" (advice)"));
  CHECK_FALSE(a.rows_lost);
  plan.confounds = "none";
  CHECK(run_panel(ctx, plan).report.runs[0].tasks.size() == 2);
  const PanelAnalysis nothing = run_panel(ctx, files.plan("absent"));
  CHECK(nothing.asked == 0);
  CHECK(nothing.report.runs.empty());
  observer.before_table = [] { throw 1; };
  CHECK_THROWS_AS(run_panel(ctx, plan, observer), int);
}

TEST_CASE("a panel says how many of its subjects trained the encoder") {
  const Files files;
  Context<Cpu> ctx({.threads = 2});
  EmbeddingFile e;
  e.shape = {2};
  for (int i = 0; i < 60; ++i)
    e.add(concat("s", i), "", std::vector<float>{static_cast<float>(i / 2 % 2), static_cast<float>(i * i % 17)});
  const auto warned = [&](const std::vector<std::string>& people) {
    e.metadata.clear();
    if (!people.empty()) e.metadata[EmbeddingFile::people_key] = Json(people).dump();
    write_embeddings(files.folder.path / "e.safetensors", e, {.overwrite = true});
    PanelPlan plan = files.plan("sex");
    plan.tables.features = {(files.folder.path / "e.safetensors").string()};
    const PanelAnalysis a = run_panel(ctx, plan);
    CHECK_FALSE(a.rows_lost);  // it is a note
    return joined(a.report.warnings, "\n", [](const std::string& w) { return w; });
  };
  CHECK(warned({subject_key("p1"), subject_key("sub-p2"), subject_key("x")}).find(": 2 of the 30 subjects trained") !=
        std::string::npos);
  CHECK(warned({subject_key("x")}).find(": none of the 30 subjects trained") != std::string::npos);
  CHECK(warned({}).empty());
}

TEST_CASE("a saved probe reads another table, and knows the subjects it was fitted on") {
  const Files files;
  Context<Cpu> ctx({.threads = 2});
  const SavedProbe probe = fit_saved_probe(ctx, run_panel(ctx, files.plan("sex,age")));
  CHECK(probe.people.size() == 30);
  PanelTables tables;
  tables.features = {files.folder.write("new.csv", "f2,other,id,f1\n3,1,x,3.1\n4,1,y,nan\n5,1,z,900\n")};
  tables.labels = files.folder.write("truth.csv", "id,subject,age\nx,p1,33\nz,q,41\n");
  const ProbeInput in = read_probe_input(probe, tables);
  CHECK(in.table.column_names == std::vector<std::string>{"f1", "f2"});
  CHECK(in.label_row == std::vector<Index>{0, -1, 1});
  CHECK(in.trained_on == std::set<std::string>{"p1"});
  std::vector<std::string> unreadable;
  const auto out = files.folder.path / "out.csv";
  const AppliedProbe applied = write_probe_predictions(
      out, probe, in, {.unreadable = [&](const std::string& sentence) { unreadable.push_back(sentence); }});
  REQUIRE(unreadable.size() == 1);
  CHECK(unreadable[0].starts_with("y: column \"f1\" is nan"));
  CHECK(applied.unreadable == 1);
  CHECK(applied.outside == std::vector<Index>{1, 1});
  CHECK(applied.first_outside[0].starts_with("z, where column \"f1\" is 900"));
  const CsvTable written(out);
  CHECK(written.header() == std::vector<std::string>{"id", "sex", "sex:F", "sex:M", "sex:range", "age", "age:range",
                                                     "age:gap", "age:gap_corrected"});
  CHECK(written.cell(0, 1) == "M");
  CHECK(written.cell(1, 1).empty());
  CHECK(*written.number(0, written.column("age:gap")) ==
        doctest::Approx(*written.number(0, written.column("age")) - 33));
}
