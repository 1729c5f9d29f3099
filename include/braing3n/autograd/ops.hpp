// Ops on values that may be recorded: each calls the forward of the same name in ops/ and, when an input wants a gradient,
// records a closure that calls the backward. Closures capture what the backward reads and nothing else.
#pragma once

#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/autograd/ops_layers.hpp"
#include "braing3n/autograd/ops_loss.hpp"
