// Follow-ups: fields of rates and bridges, their training and files, forecasts of scans, what they are measured against. Written by tests/tools/check_tree.py --write-umbrella.
#pragma once

#include "braing3n/checkpoint/saved_forecaster.hpp"
#include "braing3n/data/forecast_scan.hpp"
#include "braing3n/models/linear_rate.hpp"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/objective/bridge.hpp"
#include "braing3n/objective/rate_points.hpp"
#include "braing3n/phantom/change_oracle.hpp"
#include "braing3n/sample/bridge.hpp"
#include "braing3n/sample/years.hpp"
#if __has_include(<nifti/nifti2_io.h>) || __has_include(<nifti2_io.h>)
#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/data/forecast_record.hpp"
#endif
#include "braing3n/eval/band_means.hpp"
#include "braing3n/eval/error_growth.hpp"
#include "braing3n/eval/forecast_error.hpp"
#include "braing3n/eval/forecast_floors.hpp"
#include "braing3n/eval/forecast_pairs.hpp"
#include "braing3n/eval/forecast_scores.hpp"
#include "braing3n/eval/growth_ratio.hpp"
#include "braing3n/eval/interval_scale.hpp"
#include "braing3n/eval/subject_bootstrap.hpp"
#include "braing3n/report/forecast_tissue.hpp"
#if __has_include(<nifti/nifti2_io.h>) || __has_include(<nifti2_io.h>)
#include "braing3n/train/bridge_training.hpp"
#include "braing3n/train/forecast_pairs.hpp"
#include "braing3n/train/forecast_preview.hpp"
#include "braing3n/train/forecast_task.hpp"
#include "braing3n/train/forecaster_kinds.hpp"
#include "braing3n/train/rate_base.hpp"
#include "braing3n/train/rate_field_training.hpp"
#include "braing3n/train/rate_readout.hpp"
#include "braing3n/train/rate_weights.hpp"
#endif
