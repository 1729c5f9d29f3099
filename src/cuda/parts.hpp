// Models and trainings on CUDA in one precision. Each precision is compiled by itself.
#pragma once

#include <optional>

#include "braing3n/backend/cuda/context.hpp"
#include "braing3n/device/gpu.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

using GivenContract = std::optional<PreprocessingContract>;

template <Precision P>
std::unique_ptr<AnyEncoder> cuda_encoder(Context<Cuda>& context, const std::filesystem::path& path,
                                         const GivenContract& given);
template <Precision P>
std::unique_ptr<AnyTokenizer> cuda_tokenizer(Context<Cuda>& context, const std::filesystem::path& path,
                                             const GivenContract& given);
template <Precision P>
std::unique_ptr<AnySampler> cuda_sampler(Context<Cuda>& context, const std::filesystem::path& path);
std::unique_ptr<AnyDecoder> cuda_decoder(Context<Cuda>& context, const std::filesystem::path& path);

template <Precision P, class Job>
std::unique_ptr<TrainingRun> cuda_training(Context<Cuda>& context, Context<Cpu>& host, const Job& job);

}  // namespace braing3n::inline BRAING3N_ABI::compiled
