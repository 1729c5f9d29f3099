// The preprocessing contract on the command line: --shape, --spacing, --orientation, --normalise and so on.
#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

#include "braing3n/checkpoint/model_file.hpp"
#include "braing3n/volume/contract.hpp"

namespace braing3n::examples {

/// Options that were given replace values of the preset.
struct ContractOptions {
  std::string preset = "paper";  // paper, small, or a JSON file
  std::optional<std::string> orientation, normalise, background, centring, clip_negative, skull_stripped, space;
  std::vector<double> spacing;
  std::vector<Index> shape;

  void add_to(CLI::App& app) {
    const char* group = "Preprocessing";
    app.add_option("--contract", preset,
                   "paper (1 mm), small (2 mm), a JSON file, or a model (file or folder) that carries one")
        ->group(group);
    app.add_option("--shape", shape, "voxels along the three axes, for example 160,192,160")
        ->delimiter(',')
        ->expected(3)
        ->group(group);
    app.add_option("--spacing", spacing, "mm between voxels, for example 1,1,1")
        ->delimiter(',')
        ->expected(3)
        ->group(group);
    app.add_option("--orientation", orientation, "where the axes run to, for example LPS")->group(group);
    app.add_option("--normalise", normalise, "intensities")
        ->check(CLI::IsMember(enum_names<Normalisation>()))
        ->group(group);
    app.add_option("--background", background, "zero voxels after zscore-nonzero")
        ->check(CLI::IsMember(enum_names<Background>()))
        ->group(group);
    app.add_option("--centring", centring, "what goes to the middle of the grid")
        ->check(CLI::IsMember(enum_names<Centring>()))
        ->group(group);
    app.add_option("--clip-negative", clip_negative, "negative intensities become 0")
        ->check(CLI::IsMember({"yes", "no"}))
        ->group(group);
    app.add_option(
           "--space", space,
           "the template that scans are registered to, as information (default: the preset's, none when its grid "
           "is changed)")
        ->group(group);
    app.add_option("--skull-stripped", skull_stripped, "scans are expected without skull")
        ->check(CLI::IsMember({"yes", "no"}))
        ->group(group);
  }

  bool given(const CLI::App& app) const { return app.count("--contract") > 0 || changed(); }

  /// The file that the contract comes from, empty for the presets.
  std::filesystem::path file() const {
    return preset == "paper" || preset == "small" ? std::filesystem::path() : model_path(preset);
  }

  /// Throws Error (config, format, file).
  PreprocessingContract contract() const {
    PreprocessingContract c;
    if (preset == "paper") c = PreprocessingContract::paper();
    else if (preset == "small") c = PreprocessingContract::small();
    else if (preset.ends_with(".json")) c = config_from_file<PreprocessingContract>(preset);
    else c = contract_of_model(preset);
    const PreprocessingContract before = c;
    if (orientation) c.orientation = *orientation;
    if (normalise) c.normalise = parse_enum<Normalisation>("normalise", *normalise);
    if (background) c.background = parse_enum<Background>("background", *background);
    if (centring) c.centring = parse_enum<Centring>("centring", *centring);
    if (clip_negative) c.clip_negative = *clip_negative == "yes";
    if (skull_stripped) c.skull_stripped = *skull_stripped == "yes";
    for (std::size_t a = 0; a < spacing.size(); ++a) c.spacing[a] = spacing[a];
    for (std::size_t a = 0; a < shape.size(); ++a) c.shape[a] = shape[a];
    // Scans on another grid than the preset's are not known to be registered to its template.
    const bool same_grid = c.orientation == before.orientation && c.spacing == before.spacing &&
                           c.shape == before.shape && c.centring == before.centring;
    if (space) c.space = *space;
    else if (!same_grid) c.space.clear();
    require_valid(c);
    return c;
  }

  /// The contract a model file carries.
  static PreprocessingContract contract_of_model(const std::string& path) {
    const ModelFile model(path, false);
    if (model.info().contract.empty())
      throw Error(ErrorKind::format, "model.contract", "the model file carries no preprocessing contract",
                  model.path());
    return config_from_text<PreprocessingContract>(model.info().contract, model.path());
  }

 private:
  bool changed() const {
    return orientation || normalise || background || centring || clip_negative || skull_stripped || space ||
           !spacing.empty() || !shape.empty();
  }
};

}  // namespace braing3n::examples
