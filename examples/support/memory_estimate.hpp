// The memory that a run through a tokenizer will take: the largest of its phases, on top of what the process holds once the model is
// loaded. The estimate is printed, and compared with the memory that the system measured.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "braing3n/models/dit_memory.hpp"
#include "braing3n/models/tiled_decode.hpp"
#include "braing3n/models/tokenizer.hpp"
#include "braing3n/volume/volume.hpp"
#include "examples/support/resident_memory.hpp"

namespace braing3n::examples {

inline constexpr std::size_t gpu_workspace = std::size_t{64}
                                             << 20;  // that convolutions gather in (CudaOptions::workspace)

struct MemoryEstimate {
  std::size_t before = 0;                                            // held already: the program and the model
  std::size_t packed = 0;                                            // copies of weights that the first run makes
  std::size_t reading = 0, encoding = 0, decoding = 0, scoring = 0;  // phases, one after the other
  DecodeTiling decoder;

  /// When memory is tight every phase frees its blocks; otherwise blocks of the model are kept for the next scan.
  std::size_t peak() const {
    if (decoder.tight) return before + std::max(reading, packed + std::max({encoding, decoding, scoring}));
    return before + packed + decoding + std::max(reading, scoring);
  }
  bool tiled(const CnnDecoder3dConfig& c) const { return decoder.first < c.layers.size(); }

  std::string str(const CnnDecoder3dConfig& c) const {
    std::string text =
        concat("memory: ", peak() / 1'000'000, " MB planned, ", before / 1'000'000, " MB of them the model");
    if (tiled(c))
      text +=
          concat("; the decoder goes in ", decoder.slabs, " slabs from layer ", c.layers[decoder.first].name, " on");
    return text;
  }
  Json json() const {
    return {{"peak", peak()}, {"model", before}, {"decoder_first", decoder.first}, {"decoder_slabs", decoder.slabs}};
  }
};

/// After the model was loaded, for scans of at most `scan_voxels`. most: bytes of the whole process. Throws Error (argument) when that is too
/// little even in slabs.
template <Precision P>
MemoryEstimate estimate_memory(const Tokenizer<Cpu, P>& model, Index scan_voxels,
                               const std::optional<std::size_t>& most) {
  const auto bytes = [](Index elements, std::size_t size = sizeof(float)) {
    return static_cast<std::size_t>(elements) * size;
  };
  constexpr std::size_t element = sizeof(typename P::Compute), small_things = std::size_t{12} << 20;
  const Vit3dConfig& e = model.config.encoder;
  const Index voxels = voxel_count(e.image), tokens = e.tokens() + 1;
  MemoryEstimate m;
  m.before = resident_bytes();
  if (std::is_same_v<P, BF16>) m.packed = bytes(count_parameters(model.encoder).learned, element);
  const std::size_t volume = bytes(voxels), scan = bytes(scan_voxels);
  m.reading = volume + scan * 5 / 4 + small_things;
  m.encoding =
      2 * volume + bytes(voxels + tokens * std::max(7 * e.width, 5 * e.width + 2 * e.mlp), element) + small_things;
  m.scoring = std::max(2 * volume + bytes(voxels, 1) + bytes(5 * voxels), 3 * volume + 2 * scan) + small_things;
  const std::size_t beside = volume + small_things;
  std::optional<std::size_t> room;
  if (most) {
    const std::size_t others = m.before + std::max(m.reading, m.packed + std::max(m.encoding, m.scoring)),
                      fixed = m.before + m.packed + beside;
    if (others > *most || fixed >= *most)
      fail(ErrorKind::argument, "memory.most", "--max-memory ", *most / 1'000'000,
           ": the model and the scan alone need ", std::max(others, fixed) / 1'000'000 + 1, " MB");
    room = *most - fixed;
  }
  m.decoder = choose_tiling(model.decoder, room);
  m.decoding = m.decoder.bytes + beside;
  if (!most) {
    const std::size_t live = model.encoder.norm.weight.context().memory().stats().live + m.packed;
    m.decoding =
        std::min(m.decoder.blocks + m.encoding, CachingHostMemory::most_reserved(live + m.decoder.bytes) - live);
  }
  return m;
}

/// Bytes of a GPU for a tokenizer of so many bytes per value and one volume: weights and the larger of both halves.
inline std::size_t tokenizer_gpu_bytes(Context<Cpu>& host, const TokenizerConfig& c, std::size_t element) {
  c.validate();
  const Tokenizer<Cpu, F32> model(host, c);  // without values: it takes no memory
  const Vit3dConfig& e = c.encoder;
  const Index tokens = e.tokens() + 1, encoding = voxel_count(e.image) +
                                                  tokens * std::max(7 * e.width, 5 * e.width + 2 * e.mlp) +
                                                  e.heads * tokens * tokens;
  const std::size_t decoding = choose_tiling(model.decoder).bytes / sizeof(float) * element;
  return static_cast<std::size_t>(count_parameters(model).learned) * element +
         std::max(static_cast<std::size_t>(encoding) * element, decoding) + gpu_workspace;
}

/// Bytes of a GPU for a transformer on latents, of so many bytes per value, and a decoder in F32, at work on `rows` rows.
template <Precision P>
std::size_t generation_gpu_bytes(Context<Cpu>& host, const Dit3dConfig& c, const CnnDecoder3dConfig& d, Index rows,
                                 Index evaluations) {
  const Dit3d<Cpu, P> model(host, c);  // without values, as the decoder
  const CnnDecoder3d<Cpu, F32> decoder(host, d);
  const Index tokens = volume_of(c.grid);
  const std::size_t element = sizeof(typename P::Compute),
                    scores = static_cast<std::size_t>(c.heads * tokens * tokens) * element,
                    sampling =
                        evaluation_bytes<P>(c, rows) + prepared_condition_bytes<P>(c, rows, evaluations) + scores;
  return static_cast<std::size_t>(count_parameters(model).learned) * element +
         static_cast<std::size_t>(count_parameters(decoder).learned) * sizeof(float) +
         std::max(sampling, choose_tiling(decoder).bytes) + gpu_workspace;
}

/// Bytes of the process once transformer and decoder are loaded and at work on `rows` samples, with so many evaluations for each: models, copies of their weights that the
/// first run makes, and the larger of the two phases, whose blocks stay for the next sample as long as that is not much more than one
/// phase needs.
template <Precision P>
std::size_t estimate_generation(Context<Cpu>& ctx, const Dit3d<Cpu, P>& model, const CnnDecoder3d<Cpu, F32>& decoder,
                                Index rows, Index evaluations) {
  ctx.memory().trim();
  const std::size_t before = resident_bytes(),
                    packed = std::is_same_v<P, BF16> ? static_cast<std::size_t>(count_parameters(model).learned) *
                                                           sizeof(typename P::Compute)
                                                     : 0,
                    sampling = evaluation_bytes<P>(model.config, rows) +
                               prepared_condition_bytes<P>(model.config, rows, evaluations);
  const DecodeTiling decoding = choose_tiling(decoder);
  const std::size_t live = ctx.memory().stats().live + packed,
                    most = CachingHostMemory::most_reserved(live + std::max(sampling, decoding.bytes)) - live;
  return before + packed + std::min(sampling + decoding.blocks, most);
}

}  // namespace braing3n::examples
