// Bodies of the models in parts.hpp.
#pragma once

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/cuda.cuh"
#include "parts.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

template <Precision P>
std::unique_ptr<AnyEncoder> cuda_encoder(Context<Cuda>& context, const std::filesystem::path& path,
                                         const GivenContract& given) {
  return std::make_unique<VolumeEncoder<Cuda, P>>(context, path, given);
}

template <Precision P>
std::unique_ptr<AnyTokenizer> cuda_tokenizer(Context<Cuda>& context, const std::filesystem::path& path,
                                             const GivenContract& given) {
  return std::make_unique<LoadedTokenizer<Cuda, P>>(load_tokenizer<P>(context, path, given));
}

template <Precision P>
std::unique_ptr<AnySampler> cuda_sampler(Context<Cuda>& context, const std::filesystem::path& path) {
  return std::make_unique<LoadedDit<Cuda, P>>(load_dit<P>(context, path));
}

#define BRAING3N_CUDA_MODELS(P)                                                                          \
  template std::unique_ptr<AnyEncoder> cuda_encoder<P>(Context<Cuda>&, const std::filesystem::path&,     \
                                                       const GivenContract&);                            \
  template std::unique_ptr<AnyTokenizer> cuda_tokenizer<P>(Context<Cuda>&, const std::filesystem::path&, \
                                                           const GivenContract&);                        \
  template std::unique_ptr<AnySampler> cuda_sampler<P>(Context<Cuda>&, const std::filesystem::path&);

}  // namespace braing3n::inline BRAING3N_ABI::compiled
