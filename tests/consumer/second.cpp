// The second file of the program includes everything too.
#include "braing3n/braing3n.hpp"

braing3n::Index elements_by_the_second_file(const braing3n::Tensor<float, braing3n::Cpu>& t) { return t.size(); }
