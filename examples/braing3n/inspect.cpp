// What a file contains: scans, manifests, models, training states and other safetensors files, NumPy arrays, tables. With
// --config, the parameter counts of a configuration; nothing is allocated for that.
//
//   braing3n inspect scan.nii.gz --model tokenizer.safetensors --png scan.png
//   braing3n inspect volumes.csv
//   braing3n inspect mae.safetensors
//   braing3n inspect --config paper
#include <iostream>
#include <map>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/checkpoint/training_state.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/format/npz.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/visit.hpp"
#include "braing3n/report/table.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/inspect_manifest.hpp"
#include "examples/support/inspect_volume.hpp"
#include "examples/support/program.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

std::string plain(std::string text) {  // without control characters
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

/// JSON objects and lists inside the metadata are shown as such.
Json as_json(const std::string& text) {
  try {
    const Json value = parse_json(text, "");
    return value.is_structured() ? value : Json(text);
  } catch (const Error&) {
    return text;
  }
}

Json inspect_safetensors(const std::string& path, bool verify) {
  SafetensorsLimits limits;
  limits.allow_trailing_bytes = true;
  const SafetensorsFile file(path, limits);
  Json report = {{"file", path}, {"type", "safetensors"}, {"bytes", file.size()}};
  if (file.trailing_bytes() > 0)
    report["warning"] = concat(file.trailing_bytes(), " bytes after the last tensor belong to no tensor");
  report["checksum"] = !verify ? "not read" : file.verify_checksum() ? "good" : "none";
  Json metadata = Json::object(), tensors = Json::array();
  for (const auto& [key, value] : file.metadata()) metadata[key] = as_json(value);
  if (verify)
    for (const NamedTensor& t : file.tensors())
      if (const auto found = first_non_finite(t)) {
        report["not_finite"] = concat("element ", found->at, " of ", in_quotes(t.name), " is ", found->value);
        break;
      }
  Index elements = 0;
  for (const NamedTensor& t : file.tensors()) {
    tensors.push_back(
        {{"name", t.name}, {"dtype", to_string(t.dtype)}, {"shape", t.shape}, {"elements", t.elements()}});
    elements += t.elements();
  }
  report["metadata"] = metadata;
  report["elements"] = elements;
  report["tensors"] = tensors;
  return report;
}

Json array_entry(const std::string& name, const NpyArray& a) {
  return {{"name", name}, {"dtype", to_string(a.dtype())}, {"shape", a.shape()}, {"elements", a.elements()}};
}

Json inspect_npz(const std::string& path) {
  const NpzFile file(path);
  Json report = {{"file", path}, {"type", "npz"}, {"tensors", Json::array()}};
  for (const std::string& name : file.names()) report["tensors"].push_back(array_entry(name, file.array(name)));
  return report;
}

Json inspect_table(const std::string& path) {
  const CsvTable table(path);
  Json report = {{"file", path}, {"type", "table"}, {"rows", table.rows()}, {"columns", Json::array()}};
  for (std::size_t c = 0; c < table.columns(); ++c) {
    std::size_t missing = 0;
    std::map<std::string, std::size_t> values;
    std::vector<double> numbers;
    bool numeric = true;
    for (std::size_t r = 0; r < table.rows(); ++r) {
      if (is_missing_label(table.cell(r, c))) {
        ++missing;
        continue;
      }
      ++values[std::string(table.cell(r, c))];
      if (const auto number = braing3n::detail::parse_label_number(table.cell(r, c))) numbers.push_back(*number);
      else numeric = false;
    }
    Json column = {{"name", table.header()[c]}, {"missing", missing}, {"different", values.size()}};
    if (values.size() <= 8) column["values"] = values;
    if (numeric && !numbers.empty()) {
      column["min"] = *std::min_element(numbers.begin(), numbers.end());
      column["max"] = *std::max_element(numbers.begin(), numbers.end());
    }
    report["columns"].push_back(column);
  }
  for (const char* person : {"subject_id", "participant_id"})
    if (braing3n::detail::find_column_ignoring_case(table, person))
      report["note"] =
          "a table of people without paths to scans; --pattern \"sub-{participant_id}_T1w.nii.gz\" or the like makes "
          "it a manifest";
  return report;
}

struct InspectOptions {
  bool verify = true, read_scans = true, quiet = false;
  int threads = 1;
  VolumeInspection volume;
  ManifestOptions manifest;
};

Json inspect_file(Context<Cpu>& context, const std::string& path, const InspectOptions& options) {
  if (is_scan_name(path)) return inspect_volume(context, path, options.volume);
  const std::string name = file_ending(path);
  if (name == ".npy")
    return {{"file", path}, {"type", "npy"}, {"tensors", Json::array({array_entry("", read_npy(path))})}};
  if (name == ".npz") return inspect_npz(path);
  if (name == ".csv" || name == ".tsv") {
    const CsvTable table(path);
    return is_manifest(table, options.manifest.pattern)
               ? inspect_manifest(table, options.manifest, options.read_scans, options.threads, options.quiet)
               : inspect_table(path);
  }
  return inspect_safetensors(model_path(path).string(), options.verify);
}

std::string shape_of(const Json& shape) { return shape_text(shape.get<std::vector<Index>>()); }

/// An input that must not be used: it is reported, and the exit code says so.
bool refused(const Json& report, bool strict) {
  if (!report.contains("findings")) return false;
  for (const Json& f : report["findings"])
    if (f["severity"] == "error" || (strict && f["severity"] == "warning")) return true;
  return false;
}

void print_file(const Json& report) {
  if (report["type"] == "volume") return print_volume(report);
  if (report["type"] == "manifest") return print_manifest(report);
  for (const auto& [key, value] : report.items()) {
    if (key == "tensors" || key == "columns" || key == "metadata") continue;
    std::cout << key << ": "
              << plain(value.is_string()           ? value.get<std::string>()
                       : value.is_number_integer() ? with_commas(value.get<Index>())
                                                   : value.dump())
              << '\n';
  }
  if (report.contains("metadata"))
    for (const auto& [key, value] : report["metadata"].items())
      std::cout << "  " << plain(key) << ": "
                << plain(key == "people" && value.is_array() ? concat(value.size(), " trained the model, as keys")
                         : value.is_string()                 ? value.get<std::string>()
                                                             : value.dump())
                << '\n';
  Table table(report.contains("columns") ? std::vector<std::string>{"column", "missing", "different", "values"}
                                         : std::vector<std::string>{"tensor", "type", "shape", "elements"});
  if (report.contains("columns"))
    for (const Json& c : report["columns"]) {
      std::string what;
      if (c.contains("values"))
        for (const auto& [value, n] : c["values"].items())
          what += (what.empty() ? "" : ", ") + value + " (" + n.dump() + ")";
      else if (c.contains("min")) what = significant(c["min"], 6) + " to " + significant(c["max"], 6);
      table.row(plain(c["name"]), c["missing"].dump(), c["different"].dump(), plain(what));
    }
  else
    for (const Json& t : report["tensors"])
      table.row(plain(t["name"]), t["dtype"].get<std::string>(), shape_of(t["shape"]),
                with_commas(t["elements"].get<Index>()));
  if (!table.empty()) table.print(std::cout);
}

/// The models of a configuration. FILE.json may name any of "mae", "decoder", "dit".
struct Configuration {
  Mae3dConfig mae;
  CnnDecoder3dConfig decoder = residual_first_decoder();
  Dit3dConfig dit;

  static void visit(auto& self, auto&& v) {
    v("mae", self.mae);
    v("decoder", self.decoder);
    v("dit", self.dit);
  }
};

Json inspect_config(const std::string& name) {
  const Configuration c = name == "paper" ? Configuration{} : config_from_file<Configuration>(name);
  Context<Cpu> context({.threads = 1});
  Json parts = Json::array();
  const auto add = [&](const char* part, const ParameterCount& n) {
    parts.push_back({{"part", part}, {"parameters", n.learned}, {"fixed", n.fixed}});
  };
  const Mae3d<Cpu, F32> mae(context, c.mae);
  const ParameterCount encoder = count_parameters(mae.encoder), whole = count_parameters(mae);
  add("encoder", encoder);
  add("MAE decoder", {whole.learned - encoder.learned, whole.fixed - encoder.fixed});
  add("tokenizer decoder", count_parameters(CnnDecoder3d<Cpu, F32>(context, c.decoder)));
  add("diffusion transformer", count_parameters(Dit3d<Cpu, F32>(context, c.dit)));
  return {{"config", name}, {"parts", parts}};
}

void print_config(const Json& report) {
  Table table({"part", "parameters", "fixed", "f32"});
  for (const Json& p : report["parts"]) {
    const auto n = p["parameters"].get<Index>();
    table.row(p["part"].get<std::string>(), with_commas(n), with_commas(p["fixed"].get<Index>()),
              byte_text(4.0 * static_cast<double>(n)));
  }
  table.print(std::cout);
}

}  // namespace

int inspect_command(int argc, char** argv) {
  std::vector<std::string> files;
  std::string config;
  bool json = false, fast = false, strict = false;
  std::string model;
  InspectOptions options;
  ContractOptions contract;
  Program program("inspect",
                  "Shows what scans, manifests, models, arrays and tables contain, and the size of a configuration.");
  program.app.add_flag("--json", json, "one JSON object per file");
  program.app.add_flag("--no-checksum", fast, "do not read whole files for their checksum");
  program.app.add_option("--config", config,
                         "paper, or a JSON file with any of mae, decoder, dit: print parameter counts");
  program.app.add_option("FILE,--in", files,
                         "scans (.nii, .nii.gz, .hdr), manifests and tables (.csv, .tsv), safetensors, npy, npz");
  program.app.add_option("--model", model,
                         "check scans against the contract of this model: a file, or the folder of a training");
  program.app.add_flag("--strict", strict, "warnings count as refusals (exit code 2)");
  program.app.add_option("--index", options.volume.index, "which volume of a scan file with several, from 0")
      ->check(at_least(0));
  program.app.add_option("--png", options.volume.png, "three planes of the scan as a picture (one scan)");
  program.app.add_option("--npy", options.volume.npy, "the scan's values as a NumPy array (one scan)");
  program.app.add_option("--pattern", options.manifest.pattern,
                         "paths for a manifest without them, for example sub-{participant_id}_T1w.nii.gz");
  bool no_scans = false;
  program.app.add_flag("--no-scans", no_scans, "do not read the scans of a manifest (no search for copies)");
  contract.add_to(program.app);
  return program.run(argc, argv, [&]() -> int {
    if (files.empty() == config.empty())
      fail(ErrorKind::argument, "inspect.input", "expected either files or --config");
    if (!config.empty()) {
      const Json report = inspect_config(config);
      if (json) std::cout << report.dump(2) << '\n';
      else print_config(report);
      return exit_done;
    }
    if (!model.empty()) contract.preset = model;
    if (!model.empty() || contract.given(program.app)) options.volume.contract = contract.contract();
    if (files.size() > 1 && !(options.volume.png.empty() && options.volume.npy.empty()))
      fail(ErrorKind::argument, "inspect.input", "--png and --npy take one scan");
    OutputGuard guard;
    for (const std::string& path : files) guard.input(path);
    guard.input(config);
    if (!model.empty()) guard.input(model_path(model));
    if (!options.volume.png.empty()) require_ending(options.volume.png, {".png"});
    if (!options.volume.npy.empty()) require_ending(options.volume.npy, {".npy"});
    for (const std::string& path : {options.volume.png, options.volume.npy, program.common.json_log})
      guard.output(path);
    options.verify = !fast;
    options.read_scans = !no_scans;
    options.quiet = program.common.quiet || json;
    options.volume.force = program.common.force;
    const auto context = make_cpu_context(program.common);
    options.threads = context->threads();
    std::size_t failed = 0;
    for (const std::string& path : files) {
      stop_if_interrupted();
      try {
        const Json report = inspect_file(*context, path, options);
        if (json) std::cout << report.dump() << '\n';
        else print_file(report);
        if (refused(report, strict)) {
          if (files.size() == 1) return exit_not_started;
          ++failed;
        }
      } catch (const Error& e) {
        if (json)
          std::cout << Json({{"file", path}, {"type", "refused"}, {"id", e.id()}, {"error", e.what()}}).dump() << '\n';
        if (files.size() == 1 || e.kind() == ErrorKind::environment) throw;
        std::cerr << "inspect: " << e.what() << '\n';
        ++failed;
      }
    }
    return failed == 0 ? exit_done : exit_some_failed;
  });
}
