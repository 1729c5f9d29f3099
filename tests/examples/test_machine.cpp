// The choice of a GPU by --device, with a GPU that is none.
#include "tests/support/check.hpp"

#include <iostream>
#include <sstream>

#include "braing3n/checkpoint/any_model.hpp"
#include "braing3n/device/training_run.hpp"
#include "examples/support/context.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

class PaperGpu final : public Gpu {
 public:
  using Path = std::filesystem::path;
  using Contract = std::optional<PreprocessingContract>;
  GpuInfo info() const override { return {"a GPU of paper", 90, 8'000'000'000, 2'000'000'000}; }
  std::unique_ptr<AnyEncoder> encoder(const Path&, const Contract&, ModelPrecision) override { return nullptr; }
  std::unique_ptr<AnyTokenizer> tokenizer(const Path&, const Contract&, ModelPrecision) override { return nullptr; }
  std::unique_ptr<AnyDecoder> decoder(const Path&) override { return nullptr; }
  std::unique_ptr<AnySampler> sampler(const Path&, ModelPrecision) override { return nullptr; }
  using Run = std::unique_ptr<TrainingRun>;
  Run training(Context<Cpu>&, const MaeTrainingJob&, ModelPrecision) override { return nullptr; }
  Run training(Context<Cpu>&, const TokenizerTrainingJob&, ModelPrecision) override { return nullptr; }
  Run training(Context<Cpu>&, const DitTrainingJob&, ModelPrecision) override { return nullptr; }
};

const GpuSupport there{"CUDA of paper", [](int) -> std::unique_ptr<Gpu> { return std::make_unique<PaperGpu>(); }};
const GpuSupport broken{"CUDA of paper", [](int) -> std::unique_ptr<Gpu> {
                          fail(ErrorKind::environment, "cuda.no_device", "cuda: expected a GPU, got none");
                        }};

struct Opened {
  ProgramMachine machine;
  std::string said;
};

Opened chosen(const std::string& device, const GpuSupport& support, bool quiet = false) {
  CommonOptions options;
  options.device = device;
  options.quiet = quiet;
  options.threads = 1;
  std::ostringstream text;
  std::streambuf* const before = std::cerr.rdbuf(text.rdbuf());
  struct Restore {
    std::streambuf* old;
    ~Restore() { std::cerr.rdbuf(old); }
  } restore{before};
  Opened o{make_machine(options, support), {}};
  o.said = text.str();
  return o;
}

}  // namespace

TEST_CASE("machine: cpu takes no GPU and says nothing") {
  const Opened o = chosen("cpu", there);
  CHECK(o.machine.gpu == nullptr);
  CHECK(o.said.empty());
}

TEST_CASE("machine: cuda takes the GPU or says why there is none") {
  const Opened o = chosen("cuda", there);
  CHECK(o.machine.gpu != nullptr);
  CHECK(o.said == "device: a GPU of paper, 2000 of 8000 MB free, by CUDA of paper\n");
  CHECK(chosen("cuda", there, true).said.empty());
  test::check_error("cuda.no_device", {"--device cuda: cuda: expected a GPU, got none"},
                    [] { chosen("cuda", broken); });
  test::check_error("program.device", {"--device cuda: this build has no CUDA", "BRAING3N_CUDA=ON", "nvcc"},
                    [] { chosen("cuda", {}); });
}

TEST_CASE("machine: auto takes the GPU if there is one, and says what it took") {
  CHECK(chosen("auto", there).machine.gpu != nullptr);
  const Opened none = chosen("auto", broken);
  CHECK(none.machine.gpu == nullptr);
  CHECK(none.said == "device: CPU; cuda: expected a GPU, got none\n");
  CHECK(chosen("auto", {}).said.starts_with("device: CPU; this build has no CUDA"));
}

TEST_CASE("machine: planned memory must be free on the GPU") {
  const Opened o = chosen("cuda", there);
  CHECK_NOTHROW(require_planned_memory(o.machine, 2'000'000'000));
  test::check_error("gpu.memory", {"a GPU of paper", "expected 3001 MB", "as planned", "got 2000 of 8000 MB"},
                    [&] { require_planned_memory(o.machine, 3'000'000'000); });
  CHECK_NOTHROW(require_planned_memory(chosen("cpu", there).machine, 3'000'000'000));
}

TEST_CASE("machine: commands without a version for a GPU refuse cuda and take auto") {
  CommonOptions options;
  options.threads = 1;
  options.device = "cuda";
  test::check_error("program.device", {"--device cuda", "CPU only"}, [&] { make_cpu_context(options); });
  options.device = "auto";
  CHECK_NOTHROW(make_cpu_context(options));
}
