// The C library's header, made harmless: it defines DT_UNKNOWN as a macro, which is the name of a constant in <dirent.h>
// and breaks that header when it comes later.
#pragma once

#include <dirent.h>

#pragma push_macro("DT_UNKNOWN")
#undef DT_UNKNOWN
#include <nifti2_io.h>
#pragma pop_macro("DT_UNKNOWN")
