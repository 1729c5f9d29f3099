#include "models.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

BRAING3N_CUDA_MODELS(F32)

std::unique_ptr<AnyDecoder> cuda_decoder(Context<Cuda>& context, const std::filesystem::path& path) {
  return std::make_unique<LoadedDecoder<Cuda>>(load_decoder(context, path));
}

}  // namespace braing3n::inline BRAING3N_ABI::compiled
