// The second file of the program includes everything too.
#include "braing3n/braing3n.hpp"
#include "braing3n/generate.hpp"
#include "braing3n/probe.hpp"
#include "braing3n/train.hpp"

braing3n::Index elements_by_the_second_file(const braing3n::Tensor<float, braing3n::Cpu>& t) { return t.size(); }
