// Synthetic brains:  sample_brains TRANSFORMER TOKENIZER "age=70,sex=F" FOLDER [STEPS]
#include <cstdlib>
#include <iostream>

#include <braing3n/easy.hpp>

using namespace braing3n;

int main(int argc, char** argv) try {
  if (argc < 5 || argc > 6) {
    std::cerr << "usage: sample_brains TRANSFORMER TOKENIZER CONDITIONS FOLDER [STEPS]\n";
    return 2;
  }
  const int steps = argc == 6 ? std::atoi(argv[5]) : 50;
  // [session]
  const Session session;
  const ScanTokenizer tokenizer = session.tokenizer(argv[2]);
  const BrainGenerator generator = session.generator(argv[1], tokenizer);
  const auto brains = generator.sample({.conditions = argv[3], .n = 2, .guidance = 2, .steps = steps});
  for (const SyntheticVolume& brain : brains)  // marked in name, header and sidecar
    std::cout << brain.write(argv[4], {.overwrite = true}).string() << ": " << brain.description() << '\n';
  // [session]
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
