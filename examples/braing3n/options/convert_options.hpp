// The options of `braing3n convert`, and how its plan is printed.
#pragma once

#include <iostream>
#include <map>
#include <string>

#include "braing3n/checkpoint/convert_model.hpp"
#include "braing3n/format/output_guard.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct ConvertOptions {
  std::string from, model = "mae", config, in, out, licence, provenance;
  ContractOptions contract;

  void add_to(CLI::App& app) {
    app.add_option("--from", from, "naming scheme of the source")->required()->check(CLI::IsMember({"monai", "timm"}));
    app.add_option("--model", model, "what the source is")
        ->check(CLI::IsMember({"mae", "encoder", "autoencoder-decoder"}));
    app.add_option("--config", config, "JSON file with the constructor arguments of the source model")->required();
    app.add_option("--licence", licence, "terms of the weights, stored in the file");
    app.add_option("--provenance", provenance, "origin of the weights, stored in the file");
    app.add_option("IN,--in", in, "state dict as safetensors")->required();
    app.add_option("OUT,--out", out, "model file to write")->required();
    contract.add_to(app);
  }

  WeightSource source() const { return from == "monai" ? WeightSource::monai : WeightSource::timm; }
  WeightTarget target() const {
    return model == "encoder" ? WeightTarget::encoder
           : model == "mae"   ? WeightTarget::mae
                              : WeightTarget::autoencoder_decoder;
  }

  /// Throws Error: argument (a name that cannot be written, a result that would replace an input), file (a result is there already).
  void require_valid(const CommonOptions& common) const {
    require_ending(out, {".safetensors", ""});
    OutputGuard guard;
    guard.input(in);
    guard.input(config);
    guard.input(contract.file());
    guard.output(out);
    guard.output(common.json_log);
    require_new(out, common);
  }
};

/// Every candidate and every reason in full; matched tensors as one number.
inline void print_plan(const ConversionPlan& plan, bool quiet) {
  std::map<std::string, Index> ignored;
  for (const auto& i : plan.ignored) ++ignored[i.reason];
  if (!quiet)
    for (const auto& [reason, count] : ignored) std::cout << "ignored     " << count << " tensors: " << reason << '\n';
  std::cout << conversion_text(plan);
}

}  // namespace braing3n::examples
