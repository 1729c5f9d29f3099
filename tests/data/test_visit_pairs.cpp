// Pairs of visits from tables as people have them.
#include "tests/support/check.hpp"

#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/format/json.hpp"

using namespace braing3n;

namespace {

Manifest from(const std::string& text) {
  return read_manifest(CsvTable::from_text(text, "folder/visits.csv"), {.check_files = false, .need_paths = false});
}
VisitPairs pairs_of(const Manifest& m, const VisitPairOptions& o = {}) {
  std::vector<Index> rows(m.scans.size());
  std::iota(rows.begin(), rows.end(), Index{0});
  return visit_pairs(m, rows, o);
}
VisitPairs pairs_of(const std::string& text, const VisitPairOptions& o = {}) { return pairs_of(from(text), o); }

/// "a>b 1.00 61.0, ..." in the order of the pairs.
std::string text_of(const Manifest& m, const VisitPairs& p) {
  return joined(p.pairs, ", ", [&](const VisitPair& pair) {
    return concat(m.scans[static_cast<std::size_t>(pair.from)].volume_id, '>',
                  m.scans[static_cast<std::size_t>(pair.to)].volume_id, ' ', decimals(pair.years, 2), ' ',
                  decimals(pair.age, 1));
  });
}
std::string text_of(const std::string& text, const VisitPairOptions& o = {}) {
  const Manifest m = from(text);
  return text_of(m, pairs_of(m, o));
}
std::string sentence_of(const Findings& findings, const std::string& id) {
  for (const Finding& f : findings)
    if (f.id == id) return f.sentence;
  return "";
}

// As the table of OASIS-2 is: days as "MR Delay", whole ages.
const std::string delays =
    "Subject ID,MRI ID,Group,Visit,MR Delay,M/F,Hand,Age,SES,CDR,eTIV\n"
    "OAS2_0001,OAS2_0001_MR1,Nondemented,1,0,M,R,87,2,0,1987\n"
    "OAS2_0001,OAS2_0001_MR2,Nondemented,2,457,M,R,88,2,0,2004\n"
    "OAS2_0002,OAS2_0002_MR1,Demented,1,0,M,R,75,,0.5,1678\n"
    "OAS2_0002,OAS2_0002_MR2,Demented,2,560,M,R,76,,0.5,1738\n"
    "OAS2_0002,OAS2_0002_MR3,Demented,3,1895,M,R,80,,0.5,1698\n"
    "OAS2_0003,OAS2_0003_MR1,Converted,1,0,F,R,60,1,0,1500\n";

// As image archives write it: a date with the month first, two modalities.
const std::string archive =
    "Image Data ID,Subject,Visit,Modality,Acq Date,Age,volume_id\n"
    "I1,002_S_0295,bl,T1,4/18/2006,84.8,a\n"
    "I2,002_S_0295,m06,T1,11/02/2006,85.4,b\n"
    "I3,002_S_0295,m06,FLAIR,11/02/2006,85.4,f\n"
    "I4,002_S_0413,bl,T1,5/2/2006,76.3,c\n"
    "I5,002_S_0413,m12,T1,5/9/2007,77.3,d\n";

}  // namespace

TEST_CASE("pairs from days: every later visit of a subject, ages at the first") {
  const Manifest m = from(delays);
  CHECK(*m.text(0, "sex") == "M");
  CHECK(*m.number(4, "days") == 1895);
  const VisitPairs p = pairs_of(m);
  CHECK(text_of(m, p) ==
        "OAS2_0001_1>OAS2_0001_2 1.25 87.0, OAS2_0002_1>OAS2_0002_2 1.53 75.0, OAS2_0002_1>OAS2_0002_3 5.19 75.0, "
        "OAS2_0002_2>OAS2_0002_3 3.66 76.0");
  CHECK(p.pairs[0].years == 457 / 365.25);
  CHECK(p.time.sentence() == "years between visits are from days (2 subjects)");
  CHECK(sentence_of(p.findings, "visits.clock") == p.time.sentence());
  CHECK(sentence_of(p.findings, "visits.single") == "1 of 3 subjects has one scan per modality and no pair");
  CHECK(p.findings.count(Severity::warning) == 0);
  // A range of years, both directions.
  CHECK(text_of(delays, {.least_years = 2, .most_years = 4}) == "OAS2_0002_2>OAS2_0002_3 3.66 76.0");
  CHECK(text_of(delays, {.least_years = 5, .backwards = true}) ==
        "OAS2_0002_1>OAS2_0002_3 5.19 75.0, OAS2_0002_3>OAS2_0002_1 -5.19 80.0");
  CHECK(sentence_of(pairs_of(delays, {.least_years = 5}).findings, "visits.range") ==
        "3 pairs are left out, outside 5 to 130 years");
}

TEST_CASE("pairs from dates, within a modality; the column proves the order of day and month") {
  const Manifest m = from(archive);
  CHECK(*m.text(1, "session_date") == "2006-11-02");
  CHECK(m.findings.has("manifest.date_order"));
  const VisitPairs p = pairs_of(m);
  CHECK(text_of(m, p) == "a>b 0.54 84.8, c>d 1.02 76.3");
  CHECK(p.time.count(VisitClock::session_date) == 2);
  // BIDS: acq_time with times of the day, which do not count.
  CHECK(text_of("participant_id\tsession_id\tacq_time\tage\n"
                "sub-01\tses-1\t2009-06-15T13:45:30\t41\n"
                "sub-01\tses-2\t2010-06-15T08:00:00Z\tn/a\n") == "sub-01_ses-1>sub-01_ses-2 1.00 41.0");
  // Compact dates make a column of numbers elsewhere.
  CHECK(text_of("volume_id,subject_id,session_date\na,s,20110305\nb,s,20130305\n") == "a>b 2.00 -");
}

TEST_CASE("columns of dates and days in odd spellings") {
  for (const char* name : {"session_date", "Session Date", "EXAMDATE", "scan date", "Scan_Date (dd.mm.yyyy)",
                           "AcquisitionDate", "StudyDate", "visit-date", "Date of Scan", "DATE", "acq_time"})
    CHECK_MESSAGE(from(concat("subject_id,", name, "\ns,2011-03-05\n")).text(0, "session_date") == "2011-03-05", name);
  for (const char* name : {"days", "MR Delay", "Days from baseline", "days_since_first_visit", "daysToVisit"})
    CHECK_MESSAGE(from(concat("subject_id,", name, "\ns,120\n")).number(0, "days") == 120, name);
  // The scan's own day comes first; times of the day are none, and neither is another date.
  CHECK(from("subject_id,date,acq_time\ns,2011-03-05,13:45:30\n").text(0, "session_date") == "2011-03-05");
  CHECK(from("subject_id,visit_date,scan_date\ns,2011-03-01,2011-03-05\n").text(0, "session_date") == "2011-03-05");
  for (const char* name : {"birth_date", "EXAMDATE_bl", "update"})
    CHECK_MESSAGE(!from(concat("subject_id,", name, "\ns,2011-03-05\n")).find_field("session_date"), name);
  CHECK_FALSE(from("subject_id,acq_time\ns,13:45:30\n").find_field("session_date"));
  // Ages in another unit are not ages.
  const Manifest months = from("subject_id,age_months\ns,120\n");
  CHECK_FALSE(months.find_field("age"));
  CHECK(months.findings.has("manifest.unit"));
  CHECK_FALSE(from("subject_id,Age (months)\ns,120\n").find_field("age"));
  // Of two columns of ages the one in years is taken, wherever it stands.
  CHECK(from("subject_id,age_months,age_years\ns,120,10\n").number(0, "age") == 10);
}

TEST_CASE("each subject has the first of date, days and age that orders its scans; scans without are left out") {
  const Manifest m = from(
      "volume_id,subject_id,session_id,scan_date,days,age\n"
      "a1,a,1,2001-01-01,0,60\n"
      "a2,a,2,,365,61\n"
      "a3,a,3,2003-01-01,730,62\n"
      "b1,b,1,,0,70\n"
      "b2,b,2,2005-05-05,500,\n"
      "c1,c,1,,,50\n"
      "c2,c,2,n/a,,53\n"
      "c3,c,3,,,53\n"
      "d1,d,1,,,40\n");
  const VisitPairs p = pairs_of(m);
  CHECK(text_of(m, p) == "a1>a3 2.00 60.0, b1>b2 1.37 70.0, c1>c2 3.00 50.0, c1>c3 3.00 50.0");
  CHECK(p.time.sentence() ==
        "years between visits are from session_date (1 subject), days (1 subject), age (1 subject)");
  CHECK(sentence_of(p.findings, "visits.untimed").find("are left out: a2") == std::string::npos);
  CHECK(sentence_of(p.findings, "visits.untimed").find("is left out: a2") != std::string::npos);
  CHECK(sentence_of(p.findings, "visits.same_age").find("c2 and c3") != std::string::npos);
  CHECK(p.findings.has("visits.rounded_ages"));
  // An age that is missing is counted from the nearest scan that has one; without any it is unknown.
  CHECK(text_of("volume_id,subject_id,days,age\na,s,0,\nb,s,731,62\nc,s,1461,64\n", {.least_years = 3}) ==
        "a>c 4.00 60.0");
  const VisitPairs unknown = pairs_of("volume_id,subject_id,days\na,s,0\nb,s,731\n");
  CHECK(std::isnan(unknown.pairs[0].age));
  CHECK(sentence_of(unknown.findings, "visits.age_unknown") == "the age at 1 scan is unknown: a");
}

TEST_CASE("ages that go against the dates are found, and why") {
  const auto said = [](const char* first, const char* second) {
    const Manifest m = from(
        concat("volume_id,subject_id,session_date,age\na,s,2001-01-01,", first, "\nb,s,2005-01-01,", second, "\n"));
    const std::string sentence = sentence_of(pairs_of(m).findings, "visits.age");
    CHECK(m.findings.has("manifest.conflict") == !sentence.empty());
    return sentence;
  };
  CHECK(said("60", "64") == "");
  CHECK(said("60", "65") == "");
  CHECK(said("60", "65.1") == "1 subject has ages that go against the times of the visits by more than a year: s");
  CHECK(said("60", "60").find("do not change between visits") != std::string::npos);
  CHECK(said("60", "108").find("look like months") != std::string::npos);
  CHECK(from("subject_id,volume_id,days,session_date\ns,a,0,2001-01-01\ns,b,365,2003-01-01\n")
            .findings.has("manifest.conflict"));
  CHECK(from("subject_id,volume_id,days,session_date\ns,a,0,2001-01-01\ns,b,365,2002-01-20\n").findings.empty());
}

TEST_CASE("several scans of one visit are refused, or pairs of 0 years on request") {
  const std::string again =
      "volume_id,subject_id,session_id,session_date,modality,age\n"
      "a,s,1,2001-01-01,T1,60\nb,s,1,2001-01-01,T1,60\nf,s,1,2001-01-01,FLAIR,60\nc,s,2,2002-01-01,T1,61\n";
  test::check_error("visits.doubled",
                    {"folder/visits.csv", "\"a\" (line 2) and \"b\" (line 3)", "subject \"s\"", "\"T1\""},
                    [&] { (void)pairs_of(again); });
  CHECK(text_of(again, {.repeats = true}) == "a>b 0.00 60.0, a>c 1.00 60.0, b>c 1.00 60.0");
  CHECK(text_of(again, {.least_years = 0.5, .repeats = true}) == "a>b 0.00 60.0, a>c 1.00 60.0, b>c 1.00 60.0");
  CHECK(text_of(again, {.repeats = true, .backwards = true}) ==
        "a>b 0.00 60.0, a>c 1.00 60.0, b>a 0.00 60.0, b>c 1.00 60.0, c>a -1.00 61.0, c>b -1.00 61.0");
  // One day is one visit whatever its sessions are called; one session is one visit although it went on the day after.
  const std::string day = "volume_id,subject_id,session_id,days\na,s,test,0\nb,s,retest,0\nc,s,x,400\n";
  test::check_error("visits.doubled", {"\"a\" (line 2) and \"b\" (line 3)"}, [&] { (void)pairs_of(day); });
  const std::string session = "volume_id,subject_id,session_id,days\na,s,1,0\nb,s,1,1\nc,s,2,400\n";
  test::check_error("visits.doubled", {"\"a\" (line 2) and \"b\" (line 3)"}, [&] { (void)pairs_of(session); });
  CHECK(pairs_of(session, {.repeats = true}).pairs[0].years == 0);
  // The same age is one visit within one session only.
  test::check_error("visits.doubled", {"\"a\" (line 2) and \"b\" (line 3)"},
                    [&] { (void)pairs_of("volume_id,subject_id,age\na,s,60\nb,s,60\nc,s,61\n"); });
}

TEST_CASE("what gives no pairs is refused with counts") {
  test::check_error("visits.none", {"got 3 subjects", "2 have one scan per modality", "1 has no two scans with"},
                    [] { (void)pairs_of("volume_id,subject_id,age\na,s,60\nb,t,\nc,t,\nd,u,4\n"); });
  test::check_error("visits.none", {"4 pairs are 1.25 to 5.19", "outside 8 to 9"},
                    [] { (void)pairs_of(delays, {.least_years = 8, .most_years = 9}); });
  test::check_error("visits.none", {"1 pair has visits of the same age"},
                    [] { (void)pairs_of("volume_id,subject_id,session_id,age\na,s,1,60\nb,s,2,60\n"); });
  test::check_error("visits.columns", {"folder/visits.csv", "session_date, days or age"},
                    [] { (void)pairs_of("volume_id,subject_id\na,s\nb,s\n"); });
  test::check_error(
      "visits.time", {"line 3: column \"scan_date\": expected a date, got \"03/05/2011\"", "2011-05-03 or 2011-03-05"},
      [] { (void)pairs_of("volume_id,subject_id,scan_date,age\na,s,2010-01-01,60\nb,s,03/05/2011,61\n"); });
  test::check_error("visits.time", {"line 3", "days", "a decimal comma"},
                    [] { (void)pairs_of("volume_id,subject_id,days\na,s,0\nb,s,\"12,5\"\n"); });
  const Manifest m = from(delays);
  const std::vector<Index> twice{0, 1, 0}, beyond{0, 6};
  test::check_error("visits.row", {"got row 0"}, [&] { (void)visit_pairs(m, twice); });
  test::check_error("visits.row", {"rows of 6, got row 6"}, [&] { (void)visit_pairs(m, beyond); });
  for (const VisitPairOptions& o :
       {VisitPairOptions{.least_years = -1}, VisitPairOptions{.least_years = 3, .most_years = 2},
        VisitPairOptions{.per_subject = -1}, VisitPairOptions{.most_years = NAN}})
    test::check_error("visits.options", {"pairs of visits: expected"}, [&] { (void)pairs_of(m, o); });
  // An age that cannot be used is missing; with dates it does not matter.
  CHECK(text_of("volume_id,subject_id,scan_date,age\na,s,2010-01-01,88\nb,s,2012-01-01,89+\n") == "a>b 2.00 88.0");
}

TEST_CASE("a few pairs per subject: spread over the years, by seed and subject, not by the order of rows") {
  std::vector<std::string> lines;
  for (int s = 0; s < 40; ++s)
    for (int v = 0; v < 11; ++v) lines.push_back(concat("s", s, "v", v, ",s", s, ',', 365 * v, '\n'));
  const auto table = [&] { return "volume_id,subject_id,days\n" + joined(lines, ""); };
  const std::string first = text_of(table(), {.per_subject = 4, .seed = 7});
  const VisitPairs p = pairs_of(table(), {.per_subject = 4, .seed = 7});
  CHECK(p.pairs.size() == 160);
  // 55 pairs of a subject are 1 to 10 years apart, 27 of them up to 3 years: each quarter of the years gives one.
  for (std::size_t s = 0; s < 40; ++s) {
    std::vector<double> years;
    std::set<std::pair<Index, Index>> different;
    for (std::size_t k = 0; k < 4; ++k) {
      years.push_back(p.pairs[4 * s + k].years);
      different.emplace(p.pairs[4 * s + k].from, p.pairs[4 * s + k].to);
    }
    std::sort(years.begin(), years.end());
    CHECK(different.size() == 4);
    for (std::size_t k = 0; k < 4; ++k) CHECK(std::abs(years[k] - (1 + 9 * (static_cast<double>(k) + 0.5) / 4)) < 1.7);
  }
  std::reverse(lines.begin(), lines.end());
  CHECK(text_of(table(), {.per_subject = 4, .seed = 7}) == first);
  CHECK(text_of(table(), {.per_subject = 4, .seed = 8}) != first);
  // A subject's choice does not depend on who else is there.
  const std::string alone =
      text_of("volume_id,subject_id,days\n" + joined(std::span(lines).first(11), ""), {.per_subject = 4, .seed = 7});
  CHECK(first.find(alone) != std::string::npos);
  // Subjects choose differently.
  std::set<std::string> choices;
  for (std::size_t s = 0; s < 40; ++s)
    choices.insert(
        joined(std::span(p.pairs).subspan(4 * s, 4), " ", [](const VisitPair& v) { return decimals(v.years, 1); }));
  CHECK(choices.size() > 10);
  CHECK(pairs_of(table(), {.per_subject = 100}).pairs.size() == 40 * 55);
  CHECK(pairs_of(table(), {.per_subject = 4, .backwards = true}).pairs.size() == 160);
}

TEST_CASE("a hash of pairs shows a changed table; options have a JSON form") {
  const Manifest m = from(delays);
  const VisitPairs p = pairs_of(m);
  const std::string hash = hash_of_pairs(m, p.pairs);
  CHECK(hash == hash_of_pairs(m, pairs_of(m).pairs));
  std::string other = delays;
  other.replace(other.find(",457,"), 5, ",458,");
  CHECK(hash != hash_of_pairs(m, pairs_of(other).pairs));
  const VisitPairOptions o = config_from_text<VisitPairOptions>(R"({"least_years": 0.5, "per_subject": 3})", "x");
  CHECK(o.least_years == 0.5);
  CHECK(json_from(o)["most_years"] == 130);
  CHECK(json_from(p.time)["subjects"] == Json({0, 2, 0}));
}

TEST_CASE("what a training saw, and what may be asked of it") {
  const Manifest m =
      from("volume_id,subject_id,days,age,disease\na,s,0,60,HC\nb,s,1827,65,HC\nc,t,0,70,hc\nd,t,1096,73,AD\n");
  const VisitPairs p = pairs_of(m);
  const ForecastRanges r = forecast_ranges(m, p.pairs);
  CHECK(r.sentence() == "2 pairs of 2 subjects, ages 60 to 73, up to 5 years apart, groups AD, HC");
  CHECK_FALSE(r.backwards);
  CHECK(config_from_text<ForecastRanges>(json_from(r).dump(), "x").groups == r.groups);
  CHECK(forecast_ranges(m, pairs_of(m, {.backwards = true}).pairs).backwards);
  CHECK(forecast_ranges(m, p.pairs, true).backwards);
  test::check_error("forecast.pairs", {"at least one pair"}, [&] { (void)forecast_ranges(m, {}); });

  const auto ask = [&](double age, std::vector<double> years, const ForecastRequest& request = {}) {
    return require_forecastable(r, age, years, request);
  };
  CHECK(ask(65, {1, 2, 5}, {.group = "hc"}).empty());
  CHECK(ask(65, {0, 5}).empty());
  CHECK(sentence_of(ask(58, {1}), "forecast.age") == "the age of 58 is outside those of the training, 60 to 73");
  CHECK(ask(58, {1}).has("forecast.reached_age"));
  CHECK_FALSE(ask(60, {1}).has("forecast.reached_age"));
  test::check_error("forecast.age", {"ages of 60 to 73", "at most 5 years outside, got 79"},
                    [&] { (void)ask(79, {1}); });
  CHECK(ask(79, {1}, {.margin = 10}).has("forecast.age"));
  test::check_error("forecast.age", {"0 to 130"}, [&] { (void)ask(NAN, {1}); });
  CHECK(sentence_of(ask(62, {1, 5, 10, 15}), "forecast.horizon") ==
        "the visits of the training are up to 5 years apart: 10, 15 years are beyond that");
  CHECK(sentence_of(ask(72, {5}), "forecast.reached_age").find("reaches an age of 77") != std::string::npos);
  test::check_error("forecast.backwards", {"at least 0 years, got -2"}, [&] { (void)ask(65, {1, -2}); });
  CHECK(ask(65, {1, -2}, {.backwards = true}).has("forecast.direction"));
  CHECK_FALSE(require_forecastable(forecast_ranges(m, p.pairs, true), 65, std::vector<double>{-2}, {.backwards = true})
                  .has("forecast.direction"));
  test::check_error("forecast.change", {"other than 0 years"}, [&] { (void)ask(65, {0, 1}, {.change = true}); });
  test::check_error("forecast.years", {"got nan"}, [&] { (void)ask(65, {NAN}); });
  test::check_error("forecast.years", {"at least one horizon"}, [&] { (void)ask(65, {}); });
  test::check_error("forecast.group", {"disease", "AD, HC", "\"MCI\""}, [&] { (void)ask(65, {1}, {.group = "MCI"}); });
}
