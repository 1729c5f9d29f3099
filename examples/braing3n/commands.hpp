// The commands of the program braing3n. Each takes its own arguments as a program of its own would: argv[0], then options.
#pragma once

int convert_command(int argc, char** argv);
int dit_train_command(int argc, char** argv);
int encode_command(int argc, char** argv);
int evaluate_command(int argc, char** argv);
int forecast_command(int argc, char** argv);
int forecast_train_command(int argc, char** argv);
int generate_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int mae_pretrain_command(int argc, char** argv);
int phantom_cohort_command(int argc, char** argv);
int preprocess_command(int argc, char** argv);
int probe_command(int argc, char** argv);
int quickstart_command(int argc, char** argv);
int reconstruct_command(int argc, char** argv);
int study_forecasting_command(int argc, char** argv);
int study_phantom_command(int argc, char** argv);
int study_tokenizer_command(int argc, char** argv);
int tokenizer_train_command(int argc, char** argv);

namespace braing3n::examples {

struct Command {
  const char* name;  // one word, or two: "study phantom"
  const char* group;
  const char* summary;
  int (*function)(int argc, char** argv);
};

/// In the order of the help, group by group.
inline constexpr Command commands[] = {
    {"quickstart", "Start here", "the whole pipeline in minutes, on synthetic subjects", quickstart_command},
    {"inspect", "Scans", "contents of scans, tables and models, with findings", inspect_command},
    {"preprocess", "Scans", "preprocessed scans as NIfTI files or a packed cache", preprocess_command},
    {"phantom_cohort", "Scans", "synthetic subjects whose truth is known", phantom_cohort_command},
    {"convert", "Models", "weights of MONAI, timm or facebookresearch/mae to a model file", convert_command},
    {"mae_pretrain", "Models", "phase 1: train a masked autoencoder", mae_pretrain_command},
    {"tokenizer_train", "Models", "phase 2: train projection and decoder on its encoder", tokenizer_train_command},
    {"dit_train", "Models", "train a diffusion transformer on latents", dit_train_command},
    {"forecast_train", "Models", "train a forecaster on subjects with several visits", forecast_train_command},
    {"encode", "Use", "scans to features, latents and tokens", encode_command},
    {"reconstruct", "Use", "reconstructions of scans by a tokenizer", reconstruct_command},
    {"generate", "Use", "synthetic brains under conditions", generate_command},
    {"forecast", "Use", "follow-ups of a scan at requested horizons", forecast_command},
    {"probe", "Measure", "linear probes on features, with intervals and a report", probe_command},
    {"evaluate", "Measure", "models on unseen subjects, next to simpler methods", evaluate_command},
    {"study forecasting", "Measure", "forecasting from end to end on synthetic subjects", study_forecasting_command},
    {"study phantom", "Measure", "generation from end to end on synthetic subjects", study_phantom_command},
    {"study tokenizer", "Measure", "a tokenizer trained and evaluated by one command", study_tokenizer_command},
};

}  // namespace braing3n::examples
