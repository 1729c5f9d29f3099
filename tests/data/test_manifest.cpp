// Manifests, label schema, splits, content hashes.
#include <doctest/doctest.h>

#include <set>

#include "braing3n/data/content_hash.hpp"
#include "braing3n/data/split.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;
using test::ScratchFolder;
using test::write_bytes;

namespace {

Manifest from(const std::string& text, ManifestOptions options = {}) {
  options.check_files = false;
  return read_manifest(CsvTable::from_text(text, "folder/volumes.csv"), options);
}
std::string refusal(const std::string& text, const ManifestOptions& options = {}, const std::string& said = "") {
  try {
    (void)from(text, options);
  } catch (const Error& e) {
    CHECK_MESSAGE(std::string(e.what()).find(said) != std::string::npos, e.what());
    return e.id();
  }
  return "";
}

const std::string good =
    "volume_id,subject_id,session_id,path,modality,age,sex,disease,site,idh1,cohort,cdr,days,mmse,scanner\n"
    "v1,s1,a,x/1.nii.gz,T1w,61.5,female,HC,A,n/a,IXI,0,0,29,Skyra\n"
    "v2,s1,b,x/2.nii.gz,t1ce,62.5,F,hc,A,wt,IXI,0.5,365,28,Trio\n"
    "v3,s2,,/abs/3.nii.gz,FLAIR,,m,AD,B,Mutant,ADNI,,,n/a,\n";

}  // namespace

TEST_CASE("a manifest: paths, spellings, types, missing values, further columns") {
  const Manifest m = from(good);
  REQUIRE(m.size() == 3);
  CHECK(m.findings.empty());
  CHECK(m.scans[0].path == "folder/x/1.nii.gz");
  CHECK(m.scans[2].path == "/abs/3.nii.gz");
  CHECK(m.scans[1].session_id == "b");
  CHECK(*m.text(0, "modality") == "T1");
  CHECK(*m.text(1, "modality") == "T1c");
  CHECK(*m.text(0, "sex") == "F");
  CHECK(*m.text(2, "sex") == "M");
  CHECK(*m.text(1, "disease") == "HC");
  CHECK(*m.text(1, "idh1") == "wildtype");
  CHECK(m.label(0, "idh1").missing());
  CHECK(*m.number(0, "age") == 61.5);
  CHECK_FALSE(m.number(2, "age").has_value());
  CHECK(*m.number(1, "mmse") == 28);
  CHECK(m.fields[m.field("scanner")].kind == LabelKind::categorical);
  CHECK(m.subjects() == std::vector<std::string>{"s1", "s2"});
  CHECK_THROWS_WITH_AS((void)m.field("desease"), doctest::Contains("disease"), Error);
  // Tab-separated BIDS table with a pattern; volume ids are made.
  ManifestOptions bids;
  bids.pattern = "sub-{participant_id}/anat/sub-{participant_id}_T1w.nii.gz";
  bids.modality = "T1w";
  const Manifest b = from("participant_id\tage\tgender\tgroup\nsub-01\t39\tm\tdepr\n02\t47\tf\tcontrol\n", bids);
  CHECK(b.scans[0].path == "folder/sub-01/anat/sub-01_T1w.nii.gz");
  CHECK(b.scans[1].path == "folder/sub-02/anat/sub-02_T1w.nii.gz");
  CHECK(b.scans[0].volume_id == "sub-01_T1");
  CHECK(*b.text(0, "sex") == "M");
  CHECK(*b.text(1, "group") == "control");
  // Column names in another case are the same columns, unless both are there.
  const Manifest upper = from("Subject_ID,Path,Age,Sex,AGE_SQUARED\ns,1.nii,41,F,1681\n");
  CHECK(*upper.number(0, "age") == 41);
  CHECK(*upper.text(0, "sex") == "F");
  CHECK(*upper.number(0, "AGE_SQUARED") == 1681);
  const Manifest two = from("subject_id,path,Age,AGE\ns,1.nii,41,42\n");
  CHECK_FALSE(two.number(0, "age").has_value());
  CHECK(*two.number(0, "Age") == 41);
}

TEST_CASE("tables that cannot be used are refused with line and reason") {
  CHECK(refusal("subject_id,age\na,3\n") == "manifest.path");
  CHECK(refusal("subjct_id,path\na,3\n", {}, "subject_id") == "csv.column");
  CHECK(refusal("subject_id,path\n") == "manifest.empty");
  CHECK(refusal("volume_id,subject_id,path\nv,a,1\nw,b,2\nv,c,3\n", {}, "line 4") == "manifest.duplicate");
  CHECK(refusal("subject_id,path\na,1\na,2\n", {}, "add a volume_id") == "manifest.duplicate");
  CHECK(refusal("subject_id,path\n,1\n") == "manifest.id");
  CHECK(refusal("subject_id,path\n../../etc,1\n") == "manifest.id");
  CHECK(refusal("subject_id,path\n.hidden,1\n") == "manifest.id");
  CHECK(refusal("subject_id,path\na,\n") == "manifest.path");
  ManifestOptions pattern;
  pattern.pattern = "{participant_id}.nii";
  CHECK(refusal("participant_id\n../../x\n", pattern) == "manifest.id");
  CHECK(refusal("person of interest\nx\n", pattern) == "csv.column");
  pattern.pattern = "{subject.nii";
  CHECK(refusal("subject_id\nx\n", pattern) == "manifest.pattern");
  pattern.pattern = "{sub}.nii";
  CHECK(refusal("subject_id\nx\n", pattern) == "csv.column");
}

TEST_CASE("a label that cannot be used is missing, and named with line, column and cell") {
  const auto one = [](const char* column, const char* cell) {
    const Manifest m = from(concat("volume_id,subject_id,path,", column, "\nv,a,1,\nw,b,2,", cell, "\n"));
    const Label& label = m.label(1, m.fields[0].name);
    CHECK(label.missing());
    CHECK(m.findings.has("manifest.value"));
    return label.fault;
  };
  CHECK(one("age", "89+") ==
        "line 3: column \"age\": expected a number, got \"89+\" (an open end is no number: write 89, or leave the cell "
        "empty)");
  CHECK(one("Age", "\"70,5\"") ==
        "line 3: column \"Age\": expected a number, got \"70,5\" (a decimal comma: write 70.5)");
  CHECK(one("age", "P034Y") ==
        "line 3: column \"age\": expected a number, got \"P034Y\" (an age with its unit: write 34)");
  CHECK(one("age", "seventy") == "line 3: column \"age\": expected a number, got \"seventy\"");
  CHECK(one("age", "inf").find("infinite") != std::string::npos);
  CHECK(one("age", "-999") == "line 3: column \"age\": expected 0 to 130, got -999");
  CHECK(one("age", "700").find("got 700") != std::string::npos);
  CHECK(one("sex", "O") == "line 3: column \"sex\": expected one of F, M, got \"O\"");
  CHECK(one("idh1", "maybe").find("wildtype, mutant") != std::string::npos);
  // Nothing is wrong with what is missing, however it is written, or stated to be.
  CHECK(from("subject_id,path,age,sex\na,1,NULL,NA\nb,2,.,<NA>\nc,3,#N/A,n/a\nd,4,-,\n").findings.empty());
  const ScratchFolder folder;
  write_bytes(folder / "volumes.csv", "subject_id,path,age,sex\n-999,1.nii,-999,O\n");
  const Manifest stated = read_manifest(folder / "volumes.csv", {.check_files = false, .missing = {"-999", "sex=O"}});
  CHECK(stated.findings.empty());
  CHECK(stated.scans[0].subject_id == "-999");
  CHECK(stated.label(0, "age").missing());
  // Whoever needs the label hears of it.
  const Manifest m = from("subject_id,path,sex\na,1,F\nb,2,O\nc,3,M\n");
  CHECK_THROWS_WITH_AS(split_subjects(m, {{"train", 0.5}, {"test", 0.5}}, 1, "sex"),
                       doctest::Contains("line 3: column \"sex\""), Error);
  CHECK(split_subjects(m, {{"train", 0.5}, {"test", 0.5}}, 1).size() == 3);
}

TEST_CASE("columns of a manifest are found under their usual names, blanks around them do not count") {
  const Manifest m = from("PTID ; Path; Age at scan ;PTGENDER;SITE_ID\ns1;1.nii;41,5;Male;7\ns2;2.nii;+42;Female;7\n");
  CHECK(m.subjects() == std::vector<std::string>{"s1", "s2"});
  CHECK(m.label(0, "age").fault.find("decimal comma") != std::string::npos);
  CHECK(m.number(1, "age") == 42);
  CHECK(m.text(0, "sex") == "M");
  CHECK(m.text(0, "site") == "7");
  CHECK(from("ID,path\ns,1.nii\n").scans[0].subject_id == "s");
  CHECK(from("Subject ID,path\ns,1.nii\n").scans[0].subject_id == "s");
}

TEST_CASE("what is suspicious is found") {
  const Manifest m =
      from("volume_id,subject_id,path,sex,age,days,disease\na,s,1,F,60,0,AD\nb,s,2,M,60,1500,alzheimer\n");
  REQUIRE(m.findings.list().size() == 3);
  CHECK(m.findings.has("manifest.unknown"));
  CHECK(m.findings.list()[0].sentence.find("alzheimer") != std::string::npos);
  CHECK(m.findings.list()[0].sentence.find("HC, MCI, AD") != std::string::npos);
  CHECK(m.findings.has("manifest.conflict"));
  const ScratchFolder folder;
  write_bytes(folder / "volumes.csv", "subject_id,path\na,here.nii\nb,gone.nii\n");
  write_bytes(folder / "here.nii", "x");
  const Manifest files = read_manifest(folder / "volumes.csv");
  CHECK(files.findings.has("manifest.missing_file"));
  CHECK_THROWS_WITH_AS(files.findings.require_usable(false), doctest::Contains("gone.nii"), Error);
}

TEST_CASE("splits: people stay together, shares and strata hold, seeds matter, rows' order does not") {
  std::map<std::string, std::string> people;
  for (int i = 0; i < 200; ++i) people["s" + std::to_string(i)] = i % 10 == 0 ? "AD" : "HC";
  const std::vector<SplitPart> parts{{"train", 0.7}, {"val", 0.1}, {"test", 0.2}};
  const Split a = split_subjects(people, parts, 1), b = split_subjects(people, parts, 2);
  CHECK(a != b);
  CHECK(a == split_subjects(people, parts, 1));
  for (const Split& s : {a, b}) {
    std::map<std::string, int> count, sick;
    for (const auto& [subject, part] : s) ++count[part], sick[part] += people[subject] == "AD";
    CHECK(count["train"] == 140);
    CHECK(count["val"] == 20);
    CHECK(count["test"] == 40);
    CHECK(sick["train"] == 14);
    CHECK(sick["val"] == 2);
    CHECK(sick["test"] == 4);
  }
  // Known answer: a split must never change between versions.
  std::map<std::string, std::string> few;
  for (const char* s : {"anna", "bob", "cem", "dora", "eva", "finn"}) few[s] = "";
  const Split known = split_subjects(few, {{"train", 0.5}, {"test", 0.5}}, 2025);
  std::string train;
  for (const auto& [subject, part] : known)
    if (part == "train") train += subject + " ";
  CHECK(train == "anna bob finn ");

  CHECK_THROWS_AS(split_subjects(few, {{"train", 0.5}, {"test", 0.4}}, 1), Error);
  CHECK_THROWS_AS(split_subjects(few, {{"train", 1.2}, {"test", -0.2}}, 1), Error);
  CHECK_THROWS_WITH_AS(split_subjects(few, {{"train", 0.5}, {"", 0.5}}, 1), doctest::Contains("expected a name"),
                       Error);
  CHECK_THROWS_AS(split_subjects(std::map<std::string, std::string>{{"a", ""}}, {{"train", 0.5}, {"test", 0.5}}, 1),
                  Error);
  CHECK_THROWS_AS(split_subjects(few, {{"train", 0.99}, {"test", 0.01}}, 1), Error);

  const Manifest m = from(good);
  const Split two = split_subjects(m, {{"train", 0.5}, {"test", 0.5}}, 3, "disease");
  CHECK(two.size() == 2);
  // The strata are each row's own: of ten ill people and thirty others, every half has five ill, whatever the seed.
  std::string table = "subject_id,path,disease\n";
  for (int i = 0; i < 40; ++i) table += concat("s", i, ",", i, ".nii,", i % 4 == 1 ? "AD" : "HC", "\n");
  const Manifest many = from(table);
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    int ill = 0;
    for (const auto& [subject, part] : split_subjects(many, {{"train", 0.5}, {"test", 0.5}}, seed, "disease"))
      ill += part == "train" && std::stoi(subject.substr(1)) % 4 == 1;
    CHECK(ill == 5);
  }
  const ScratchFolder folder;
  write_split(folder / "split.csv", two);
  CHECK(read_split(folder / "split.csv") == two);
  const std::vector<Index> first = rows_of(m, two, two.at("s1"));
  CHECK(first == std::vector<Index>{0, 1});
  CHECK_THROWS_WITH_AS(rows_of(m, two, "Test"),
                       doctest::Contains("no scan is in the set \"Test\"; the sets are test, train"), Error);
  CHECK_THROWS_AS(rows_of(m, Split{{"s1", "train"}}, "train"), Error);
  write_bytes(folder / "twice.csv", "subject_id,split\ns1,train\ns1,test\n");
  CHECK_THROWS_WITH_AS(read_split(folder / "twice.csv"), doctest::Contains("s1"), Error);
  write_bytes(folder / "hole.csv", "subject_id,split\ns1,\n");
  CHECK_THROWS_AS(read_split(folder / "hole.csv"), Error);
}

TEST_CASE("content hashes: equal voxels, nothing else") {
  Volume v(Grid{{3, 4, 5}, Affine{}});
  for (Index i = 0; i < v.size(); ++i) v.data()[i] = static_cast<float>(i);
  const std::string h = content_hash(v);
  CHECK(h.size() == 16);
  Volume same = v;
  same.data()[0] = -0.0f;
  same.affine(0, 3) = 7;
  CHECK(content_hash(same) == h);
  std::set<std::string> all{h};
  for (Index i = 0; i < v.size(); ++i) {
    Volume other = v;
    other.data()[i] += 1;
    all.insert(content_hash(other));
  }
  Volume turned(Grid{{5, 4, 3}, Affine{}});
  std::copy(v.data(), v.data() + v.size(), turned.data());
  all.insert(content_hash(turned));
  CHECK(all.size() == 62);
  CHECK(equal_hashes({"a", "b", "a", "", "", "b", "c"}) == std::vector<std::vector<Index>>{{0, 2}, {1, 5}});
}
