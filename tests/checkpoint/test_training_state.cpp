#include "braing3n/checkpoint/training_state.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

#include "braing3n/base/philox.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

TrainingInfo at_step(Index step) {
  TrainingInfo info;
  info.kind = "mae3d";
  info.config = R"({"encoder":{"depth":2},"lr":0.1})";
  info.manifest_hash = "abc";
  info.progress = {~std::uint64_t{0}, step, 1, 3 * step, 7 * step, 0.25};
  info.extra = {{"note", "x"}};
  return info;
}

void save(const std::filesystem::path& path, Index step, std::size_t size = 100) {
  const std::vector<float> weights(size, static_cast<float>(step)), ema(size, static_cast<float>(-step));
  std::vector<NamedTensor> tensors =
      in_group("weights", {named_tensor<float>("w", {static_cast<Index>(size)}, weights)});
  for (NamedTensor& t : in_group("ema", {named_tensor<float>("w", {static_cast<Index>(size)}, ema)}))
    tensors.push_back(t);
  save_training_state(path, at_step(step), tensors);
}

Index resumed_step(const std::filesystem::path& path) {
  const ResumeChoice choice = newest_training_state(path);
  REQUIRE(choice.state.has_value());
  const Index step = choice.state->info().progress.step;
  const std::vector<float> weights = choice.state->file().read<float>("weights/w");
  REQUIRE(std::all_of(weights.begin(), weights.end(), [&](float v) { return v == static_cast<float>(step); }));
  return step;
}

/// A child saves states 1, 2, 3, ... and is killed at a random moment, again and again.
void kill_at_random_moments(int rounds) {
  const ScratchFolder folder;
  const std::filesystem::path path = folder / "state";
  const Philox rng(1, Purpose::test);
  Index last = 0;
  for (int round = 0; round < rounds; ++round) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        for (Index step = last + 1;; ++step) {
          save(path, step, 20'000);
          if (::write(ready[1], &step, sizeof step) != sizeof step) ::_exit(1);
        }
      } catch (...) {
      }
      ::_exit(1);
    }
    ::close(ready[1]);
    Index finished = last;
    if (round % 3 != 0) REQUIRE(::read(ready[0], &finished, sizeof finished) == sizeof finished);
    ::usleep(rng.integer(static_cast<std::uint64_t>(round)) % 4000);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    for (Index step; ::read(ready[0], &step, sizeof step) == sizeof step;) finished = step;
    ::close(ready[0]);
    if (finished == 0 && !std::filesystem::exists(path)) continue;
    const Index now = resumed_step(path);
    REQUIRE(now >= finished);  // a save that returned is never lost
    last = now;
  }
  CHECK(last > 0);
  CHECK(folder.files() <= 4);  // the two states, at most one abandoned file and its second name
}

}  // namespace

TEST_CASE("training state: saved, found, read") {
  const ScratchFolder folder;
  CHECK_FALSE(newest_training_state(folder / "s").state.has_value());
  save(folder / "s", 1);
  save(folder / "s", 2);
  const ResumeChoice choice = newest_training_state(folder / "s");
  REQUIRE(choice.state.has_value());
  CHECK(choice.rejected.empty());
  const TrainingInfo& info = choice.state->info();
  CHECK(info.kind == "mae3d");
  CHECK(info.progress.seed == ~std::uint64_t{0});
  CHECK(info.progress.step == 2);
  CHECK(info.progress.data_position == 6);
  CHECK(info.progress.samples == 14);
  CHECK(info.progress.best == 0.25);
  CHECK(info.manifest_hash == "abc");
  CHECK(info.extra == Metadata{{"note", "x"}});
  const std::vector<NamedTensor> ema = choice.state->group("ema");
  REQUIRE(ema.size() == 1);
  CHECK(ema[0].name == "w");
  CHECK(choice.state->file().read<float>("ema/w")[99] == -2.0f);
  CHECK(TrainingStateFile(previous_path(folder / "s")).info().progress.step == 1);
  CHECK(folder.files() == 2);
}

TEST_CASE("training state: damage falls back to the state before, and says so") {
  const ScratchFolder folder;
  save(folder / "s", 1);
  save(folder / "s", 2);
  const std::string whole = content_of(folder / "s");
  const auto damaged = [&](const std::string& content) {
    put_file(folder / "s", content);
    const ResumeChoice choice = newest_training_state(folder / "s");
    REQUIRE(choice.state.has_value());
    CHECK(choice.rejected.size() == 1);
    return choice.state->info().progress.step;
  };
  CHECK(damaged(whole.substr(0, whole.size() / 2)) == 1);
  CHECK(damaged("") == 1);
  CHECK(damaged(std::string(5000, '\0')) == 1);
  std::string flipped = whole;
  flipped[flipped.size() - 3] ^= 16;
  CHECK(damaged(flipped) == 1);
  std::string config = whole;
  config[config.find("depth\\\":2") + 8] = '3';
  CHECK(damaged(config) == 1);

  SUBCASE("saving over a damaged file keeps the good one and moves the bad one away") {
    put_file(folder / "s", "somebody's thesis");
    save(folder / "s", 3);
    CHECK(resumed_step(folder / "s") == 3);
    CHECK(TrainingStateFile(previous_path(folder / "s")).info().progress.step == 1);
    CHECK(content_of(damaged_path(folder / "s")) == "somebody's thesis");
  }
  SUBCASE("only the previous one is left") {
    std::filesystem::remove(folder / "s");
    CHECK(resumed_step(folder / "s") == 1);
  }
  SUBCASE("nothing whole is left: an error, never a silent new start") {
    put_file(folder / "s.previous", whole.substr(0, 100));
    put_file(folder / "s", whole.substr(0, 101));
    const Error e = error_of([&] { newest_training_state(folder / "s"); });
    CHECK(e.kind() == ErrorKind::format);
    CHECK(std::string(e.what()).find("s.previous") != std::string::npos);
  }
  SUBCASE("a model is not a state") {
    ModelInfo info;
    info.kind = "m";
    info.config = "{}";
    write_model(folder / "model", info, {});
    CHECK(error_of([&] { TrainingStateFile(folder / "model"); }).id() == "model.foreign");
    CHECK(error_of([&] { ModelFile(folder / "s.previous"); }).id() == "model.foreign");
  }
}

TEST_CASE("training state: only the same run is resumed") {
  const ScratchFolder folder;
  save(folder / "s", 5);
  const TrainingStateFile state(folder / "s");
  TrainingInfo here = at_step(0);
  here.config = R"({ "lr": 0.1, "encoder": {"depth": 2} })";  // order and spaces do not matter
  CHECK_NOTHROW(require_same_run(state, here));
  const auto message = [&](auto&& change) {
    TrainingInfo other = here;
    change(other);
    const Error e = error_of([&] { require_same_run(state, other); });
    CHECK(e.kind() == ErrorKind::config);
    return std::string(e.what()).substr(state.file().path().size() + 2);
  };
  const std::string start = "the state belongs to another run: ";
  CHECK(message([](auto& i) { i.kind = "dit3d"; }) == start + "kind \"mae3d\" there, \"dit3d\" here");
  CHECK(message([](auto& i) { i.config = R"({"encoder":{"depth":3},"lr":0.1})"; }) ==
        start + "config differs at encoder.depth (2 there, 3 here)");
  CHECK(message([](auto& i) { i.config = R"({"encoder":{"depth":2}})"; }) ==
        start + "config differs at lr (0.1 there, nothing here)");
  CHECK(message([](auto& i) { i.config = R"({"encoder":{"depth":2},"lr":0.1,"x":1})"; }) ==
        start + "config differs at x (nothing there, 1 here)");
  CHECK(message([](auto& i) { i.manifest_hash = "abd"; }) == start + "data manifest \"abc\" there, \"abd\" here");
  CHECK(message([](auto& i) { i.progress.seed = 1; }).starts_with(start + "seed"));
  // Everything that differs is named at once, the seed first: what is drawn from it differs too.
  const std::string all = message([](auto& i) {
    i.progress.seed = 1;
    i.config = R"({"encoder":{"depth":3},"lr":0.2})";
    i.manifest_hash = "abd";
  });
  CHECK(all.starts_with(concat(
      start, "seed ", state.info().progress.seed,
      " there, 1 here; config differs at encoder.depth (2 there, 3 here), lr (0.1 there, 0.2 here); data manifest")));
  CHECK(all.find("follows the seed") != std::string::npos);
  // Scans that were made again; a state that does not say is taken as before.
  here.extra["scan_files"] = "new";
  CHECK_NOTHROW(require_same_run(state, here));
  TrainingInfo told = state.info();
  told.extra["scan_files"] = "old";
  save_training_state(folder / "told", told, state.file().tensors());
  CHECK(error_of([&] { require_same_run(TrainingStateFile(folder / "told"), here); }).text().find("made again") !=
        std::string::npos);
  here.extra["scan_files"] = "old";
  CHECK_NOTHROW(require_same_run(TrainingStateFile(folder / "told"), here));
}

TEST_CASE("training state: a full disk keeps both states") {
  const ScratchFolder folder;
  save(folder / "s", 1);
  save(folder / "s", 2);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{500, 500};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int code = 1;
    try {
      save(folder / "s", 3);
    } catch (const Error& e) {
      code = e.kind() == ErrorKind::environment ? 0 : 2;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(resumed_step(folder / "s") == 2);
  CHECK(TrainingStateFile(previous_path(folder / "s")).info().progress.step == 1);
  CHECK(folder.files() == 2);
}

TEST_CASE("training state: killed at random moments") { kill_at_random_moments(40); }

TEST_SUITE("slow") {
  TEST_CASE("training state: killed at 500 random moments") { kill_at_random_moments(500); }
}
