// The sizes of the models that a configuration describes, without allocating them.
#pragma once

#include <ostream>
#include <string>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/visit.hpp"
#include "braing3n/report/table.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The models of a configuration. FILE.json may name any of "mae", "decoder", "dit".
struct ModelConfiguration {
  Mae3dConfig mae;
  CnnDecoder3dConfig decoder = residual_first_decoder();
  Dit3dConfig dit;

  static void visit(auto& self, auto&& v) {
    v("mae", self.mae);
    v("decoder", self.decoder);
    v("dit", self.dit);
  }
};

inline Json inspect_config(const std::string& name) {
  const ModelConfiguration c = name == "paper" ? ModelConfiguration{} : config_from_file<ModelConfiguration>(name);
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

inline void print_config(std::ostream& out, const Json& report) {
  Table table({"part", "parameters", "fixed", "f32"});
  for (const Json& p : report["parts"]) {
    const auto n = p["parameters"].get<Index>();
    table.row(p["part"].get<std::string>(), with_commas(n), with_commas(p["fixed"].get<Index>()),
              byte_text(4.0 * static_cast<double>(n)));
  }
  table.print(out);
}

}  // namespace braing3n::inline BRAING3N_ABI
