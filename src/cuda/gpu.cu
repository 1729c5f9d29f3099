// gpu_support() of a program with CUDA. BRAING3N_CUDA_NAME says what was compiled: CUDA and its version, or the host emulation.
#include "braing3n/backend/cuda/device_info.hpp"
#include "braing3n/checkpoint/any_model.hpp"
#include "braing3n/device/gpu.hpp"
#include "braing3n/device/training_run.hpp"
#include "parts.hpp"

#ifndef BRAING3N_CUDA_NAME
#define BRAING3N_CUDA_NAME "CUDA"
#endif

namespace braing3n::inline BRAING3N_ABI {
namespace {

class CudaGpu final : public Gpu {
 public:
  explicit CudaGpu(int device) : device_(usable(device)), context_({.device = device}) {}

  GpuInfo info() const override {
    const CudaDeviceInfo d = cuda_device_info(device_);
    return {d.name, d.capability, d.memory, d.free_memory};
  }
  std::unique_ptr<AnyEncoder> encoder(const std::filesystem::path& path,
                                      const std::optional<PreprocessingContract>& given,
                                      ModelPrecision precision) override {
    return precision == ModelPrecision::bf16 ? compiled::cuda_encoder<BF16>(context_, path, given)
                                             : compiled::cuda_encoder<F32>(context_, path, given);
  }
  std::unique_ptr<AnyTokenizer> tokenizer(const std::filesystem::path& path,
                                          const std::optional<PreprocessingContract>& given,
                                          ModelPrecision precision) override {
    return precision == ModelPrecision::bf16 ? compiled::cuda_tokenizer<BF16>(context_, path, given)
                                             : compiled::cuda_tokenizer<F32>(context_, path, given);
  }
  std::unique_ptr<AnyDecoder> decoder(const std::filesystem::path& path) override {
    return compiled::cuda_decoder(context_, path);
  }
  std::unique_ptr<AnySampler> sampler(const std::filesystem::path& path, ModelPrecision precision) override {
    return precision == ModelPrecision::bf16 ? compiled::cuda_sampler<BF16>(context_, path)
                                             : compiled::cuda_sampler<F32>(context_, path);
  }
  std::unique_ptr<TrainingRun> training(Context<Cpu>& host, const MaeTrainingJob& job,
                                        ModelPrecision precision) override {
    return trained(host, job, precision);
  }
  std::unique_ptr<TrainingRun> training(Context<Cpu>& host, const TokenizerTrainingJob& job,
                                        ModelPrecision precision) override {
    return trained(host, job, precision);
  }
  std::unique_ptr<TrainingRun> training(Context<Cpu>& host, const DitTrainingJob& job,
                                        ModelPrecision precision) override {
    return trained(host, job, precision);
  }

 private:
  static int usable(int device) {
    (void)cuda_device_info(device);
    return device;
  }
  template <class Job>
  std::unique_ptr<TrainingRun> trained(Context<Cpu>& host, const Job& job, ModelPrecision precision) {
    return precision == ModelPrecision::bf16 ? compiled::cuda_training<BF16>(context_, host, job)
                                             : compiled::cuda_training<F32>(context_, host, job);
  }

  int device_;
  Context<Cuda> context_;
};

}  // namespace

const GpuSupport& gpu_support() {
  static const GpuSupport support{BRAING3N_CUDA_NAME,
                                  [](int device) -> std::unique_ptr<Gpu> { return std::make_unique<CudaGpu>(device); }};
  return support;
}

}  // namespace braing3n::inline BRAING3N_ABI
