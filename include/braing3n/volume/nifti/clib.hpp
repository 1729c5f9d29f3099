// The C library's header, found where systems keep it and made harmless: it defines DT_UNKNOWN as a macro, which is the name of a
// constant in <dirent.h> and breaks that header when it comes later.
#pragma once

#include <dirent.h>

#pragma push_macro("DT_UNKNOWN")
#undef DT_UNKNOWN
#if __has_include(<nifti2_io.h>)
#include <nifti2_io.h>
#elif __has_include(<nifti/nifti2_io.h>) && __has_include(<znzlib.h>)
#include <nifti/nifti2_io.h>
#else
#error \
    "braing3n: NIfTI files need nifti2_io.h and the znzlib.h that it includes (Debian: libnifti2-dev and -I/usr/include/nifti)"
#endif
#pragma pop_macro("DT_UNKNOWN")
