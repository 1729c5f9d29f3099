// Pictures of volumes, charts, tables and pages. Written by tests/tools/check_tree.py --write-umbrella.
#pragma once

#include "braing3n/report/brain_page.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/curves.hpp"
#include "braing3n/report/font.hpp"
#include "braing3n/report/html_page.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/report/phantom_pictures.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/report/reconstruction_picture.hpp"
#include "braing3n/report/sample_pictures.hpp"
#include "braing3n/report/surface.hpp"
#include "braing3n/report/surface_view.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/report/text_panel.hpp"
