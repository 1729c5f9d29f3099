// Studies: models measured on subjects they have not seen, options in, a result out. Written by tests/tools/check_tree.py --write-umbrella.
#pragma once

#include "braing3n/study/observer.hpp"
#include "braing3n/study/panel_rows.hpp"
#include "braing3n/study/phantom_figures.hpp"
#include "braing3n/study/phantom_study.hpp"
#include "braing3n/study/quickstart_page.hpp"
#include "braing3n/study/region_truth.hpp"
#include "braing3n/study/result_json.hpp"
#include "braing3n/study/steps.hpp"
#include "braing3n/study/tokenizer_study.hpp"
#if __has_include(<nifti/nifti2_io.h>) || __has_include(<nifti2_io.h>)
#include "braing3n/study/cohort.hpp"
#include "braing3n/study/fidelity.hpp"
#include "braing3n/study/fidelity_plan.hpp"
#include "braing3n/study/fidelity_report.hpp"
#include "braing3n/study/fidelity_result.hpp"
#include "braing3n/study/reconstruction.hpp"
#include "braing3n/study/reconstruction_report.hpp"
#include "braing3n/study/reconstruction_result.hpp"
#include "braing3n/study/sample_arms.hpp"
#endif
