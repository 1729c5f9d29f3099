// Flow matching, samplers and guidance, diffusion transformers in files, measures of samples. Written by tests/tools/check_tree.py --write-umbrella.
#pragma once

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/eval/controllability.hpp"
#include "braing3n/eval/diversity.hpp"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/eval/grouped_probe.hpp"
#include "braing3n/eval/memorisation.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/sample/guidance.hpp"
#include "braing3n/sample/guided_velocity.hpp"
#include "braing3n/sample/prepared_network.hpp"
