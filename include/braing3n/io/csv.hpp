// Tables of text: CsvTable reads, CsvWriter writes.
#pragma once

#include "braing3n/io/csv_table.hpp"
#include "braing3n/io/csv_writer.hpp"
