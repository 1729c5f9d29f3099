// A GPU as a program of the host sees it that may be built without CUDA: models and trainings behind interfaces, chosen at run time.
//
// The kernels and everything that launches them are compiled once, in braing3n::compiled_cuda, which defines gpu_support(). A program that
// is to be built without CUDA as well defines it itself, as `{}`, in a source that is left out where it links that library.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "braing3n/base/error.hpp"
#include "braing3n/core/tags.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Element type of activations and of the weights that products read.
enum class ModelPrecision { f32, bf16 };

struct GpuInfo {
  std::string name;
  int capability = 0;                       // 90 for compute capability 9.0
  std::size_t memory = 0, free_memory = 0;  // bytes
};

// Declared only, so that this header costs nothing: checkpoint/any_model.hpp, volume/contract.hpp, and this folder have them.
struct PreprocessingContract;
class AnyEncoder;
class AnyTokenizer;
class AnyDecoder;
class AnySampler;
class TrainingRun;
struct MaeTrainingJob;
struct TokenizerTrainingJob;
struct DitTrainingJob;

/// One GPU. It must outlive what it has made. Its functions throw what the same functions of the CPU throw, and Error (environment).
class Gpu {
 public:
  virtual ~Gpu() = default;

  virtual GpuInfo info() const = 0;

  virtual std::unique_ptr<AnyEncoder> encoder(const std::filesystem::path& path,
                                              const std::optional<PreprocessingContract>& given,
                                              ModelPrecision precision) = 0;
  virtual std::unique_ptr<AnyTokenizer> tokenizer(const std::filesystem::path& path,
                                                  const std::optional<PreprocessingContract>& given,
                                                  ModelPrecision precision) = 0;
  virtual std::unique_ptr<AnyDecoder> decoder(const std::filesystem::path& path) = 0;
  virtual std::unique_ptr<AnySampler> sampler(const std::filesystem::path& path, ModelPrecision precision) = 0;

  virtual std::unique_ptr<TrainingRun> training(Context<Cpu>& host, const MaeTrainingJob& job,
                                                ModelPrecision precision) = 0;
  virtual std::unique_ptr<TrainingRun> training(Context<Cpu>& host, const TokenizerTrainingJob& job,
                                                ModelPrecision precision) = 0;
  virtual std::unique_ptr<TrainingRun> training(Context<Cpu>& host, const DitTrainingJob& job,
                                                ModelPrecision precision) = 0;
};

struct GpuSupport {
  const char* name = nullptr;  // "CUDA 13.0"; null: the program was built without CUDA
  /// Throws Error (environment) that says why the GPU cannot be used.
  std::unique_ptr<Gpu> (*open)(int device) = nullptr;
};

/// What this program was built with.
const GpuSupport& gpu_support();

/// Throws Error (environment) when less than `planned` bytes are free.
inline void require_gpu_memory(const GpuInfo& gpu, std::size_t planned) {
  if (planned > gpu.free_memory)
    fail(ErrorKind::environment, "gpu.memory", "gpu: ", gpu.name, ": expected ", planned / 1'000'000 + 1,
         " MB of free memory, as planned, got ", gpu.free_memory / 1'000'000, " of ", gpu.memory / 1'000'000, " MB");
}

/// Where models run: on the CPU, or on a GPU with the CPU beside it, which reads and preprocesses scans.
struct Machine {
  Context<Cpu>* host;
  Gpu* gpu;

  /// Implicit: a context is a machine without a GPU.
  Machine(Context<Cpu>& cpu, Gpu* on = nullptr) : host(&cpu), gpu(on) {}
};

}  // namespace braing3n::inline BRAING3N_ABI
