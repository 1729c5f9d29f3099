// Tables of text: CsvTable reads, CsvWriter writes.
#pragma once

#include "braing3n/format/csv_table.hpp"
#include "braing3n/format/csv_writer.hpp"
