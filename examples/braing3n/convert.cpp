// Weights of MONAI, timm or facebookresearch/mae models (a state dict saved as safetensors) to a braing3n model file.
//
//   braing3n convert --from monai --config cfg.json weights.safetensors mae.safetensors
//   braing3n convert --from monai --config cfg.json --shape 80,96,80 --spacing 2,2,2 weights.safetensors mae.safetensors
//
// A state dict does not hold the preprocessing of the source model: --contract, --shape, --spacing and so on give it
// (docs/encode-my-scans.md), here or to `encode` each time.
// cfg.json holds the constructor arguments of the source model under their own names. A table shows every tensor that is
// ignored, missing, unexpected, unused or mis-shaped with the nearest candidates; if anything is missing, unused or mis-shaped the exit code is 1
// and nothing is written.
#include <iostream>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/checkpoint/convert_model.hpp"
#include "braing3n/report/table.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/convert_options.hpp"
#include "examples/support/json_log.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

template <class Config, class Model>
int convert(const ConvertOptions& o, const CommonOptions& common, const PeerConfig<Config>& peer, const Model& model,
            const char* kind, const std::optional<PreprocessingContract>& contract, JsonLog& log) {
  if (!common.quiet)
    for (const std::string& key : peer.ignored) std::cout << "config      ignored: " << in_quotes(key) << '\n';
  const SafetensorsFile source = open_state_dict(o.in);
  if (source.trailing_bytes() > 0)
    std::cerr << "convert: warning: " << o.in << ": " << source.trailing_bytes()
              << " bytes after the last tensor are ignored\n";
  const ConversionPlan plan = plan_model_conversion(source, o.source(), o.target(), model);
  print_plan(plan, common.quiet);
  log.event("plan", {{"matched", plan.matched.size()},
                     {"ignored", plan.ignored.size()},
                     {"missing", plan.missing.size()},
                     {"unexpected", plan.unexpected.size()},
                     {"unused", plan.unused()},
                     {"wrong_shape", plan.wrong_shape.size()}});
  if (!plan.complete()) {
    std::cerr << "convert: " << plan.missing.size() << " tensors are missing, " << plan.wrong_shape.size()
              << " have another shape and " << plan.unused()
              << " of the model's own parts are unused; nothing was written\n";
    return exit_some_failed;
  }
  ModelInfo info;
  info.kind = kind;
  info.config = json_text(peer.config);
  if (contract) info.contract = json_text(*contract);
  info.licence = o.licence;
  info.provenance = o.provenance.empty() ? concat("converted from ", o.from, " weights ",
                                                  std::filesystem::path(o.in).filename().string())
                                         : o.provenance;
  WriteOptions write;
  write.overwrite = common.force;
  write_model(o.out, info, converted_tensors(plan, source), write);
  const ParameterCount count = count_parameters(model);
  if (!common.quiet) std::cout << o.out << ": " << kind << ", " << with_commas(count.learned) << " parameters\n";
  log.event("written", {{"path", o.out}, {"parameters", count.learned}});
  return exit_done;
}

}  // namespace

int convert_command(int argc, char** argv) {
  ConvertOptions o;
  Program program("convert", "Turns weights of MONAI, timm or facebookresearch/mae models into a braing3n model file.");
  o.add_to(program.app);
  return program.run(argc, argv, [&]() -> int {
    o.require_valid(program.common);
    JsonLog log(program.common.json_log);
    Context<Cpu> context({.threads = 1});
    const Json arguments = read_json(o.config);
    const bool given = o.contract.given(program.app);
    if (o.model == "autoencoder-decoder") {
      if (o.from != "monai")
        fail(ErrorKind::argument, "convert.model", "--model autoencoder-decoder is known for --from monai only");
      if (given)
        fail(ErrorKind::argument, "convert.contract",
             "a decoder sees no scans; a preprocessing contract is for --model mae and encoder");
      const auto peer = decoder_config_from_peer(arguments, o.config);
      return convert(o, program.common, peer, CnnDecoder3d<Cpu, F32>(context, peer.config), "cnn_decoder3d",
                     std::nullopt, log);
    }
    const auto peer = mae_config_from_peer(arguments, o.source(), o.config);
    const std::optional<PreprocessingContract> contract = given ? std::optional(o.contract.contract()) : std::nullopt;
    if (contract && contract->shape != peer.config.encoder.image)
      fail(ErrorKind::config, "contract.shape", "the contract makes volumes of ", describe(contract->shape),
           ", the model takes ", describe(peer.config.encoder.image));
    if (o.model == "mae")
      return convert(o, program.common, peer, Mae3d<Cpu, F32>(context, peer.config), "mae3d", contract, log);
    const PeerConfig<Vit3dConfig> encoder{peer.config.encoder, peer.ignored};
    return convert(o, program.common, encoder, Vit3d<Cpu, F32>(context, encoder.config), "vit3d", contract, log);
  });
}
