// One session that reads scans and uses trained models: features, reconstructions, samples, follow-ups, probes. Written by tests/tools/check_tree.py --write-umbrella.
#pragma once

#if __has_include(<nifti/nifti2_io.h>) || __has_include(<nifti2_io.h>)
#include "braing3n/easy/forecaster.hpp"
#include "braing3n/easy/generator.hpp"
#include "braing3n/easy/probe.hpp"
#include "braing3n/easy/scan.hpp"
#include "braing3n/easy/session.hpp"
#include "braing3n/easy/synthetic.hpp"
#include "braing3n/easy/tokenizer.hpp"
#endif
