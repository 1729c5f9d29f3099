// Where the voxels of a NIfTI file lie in the patient.
//
// The sform if its code is > 0, else the qform if its code is > 0, else the voxel sizes with the first axis to the left and
// the middle of the scan at the origin (as nibabel does), with a warning. libnifti2 turns the checked quaternion into a matrix.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "braing3n/volume/nifti/clib.hpp"
#include "braing3n/volume/nifti/header.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// mm: sform and qform that lie closer together everywhere in the scan say the same; float32 entries do not hold more.
constexpr double forms_rounding_mm = 0.01;

/// What is known about a file besides the values of its voxels.
struct NiftiInfo {
  NiftiHeader header;
  bool compressed = false;
  std::string affine_source;  // "sform", "qform" or "pixdim"
  Affine affine;
  double forms_differ_mm = 0;  // largest distance between the places that sform and qform give to a corner of the scan
  Findings findings;
};

namespace detail {

/// The qform as a matrix. A quaternion that is not a unit quaternion is scaled to one, with a warning.
inline Affine qform_of(const NiftiHeader& h, Findings& findings) {
  auto [b, c, d] = h.quaternion;
  bool finite = std::isfinite(b) && std::isfinite(c) && std::isfinite(d);
  for (const double o : h.quaternion_offset) finite = finite && std::isfinite(o);
  if (!finite) {
    findings.add(Severity::warning, "nifti.quaternion", "the qform has entries that are not finite numbers");
    return Affine{{{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}}};
  }
  if (const double norm = b * b + c * c + d * d; norm > 1 + 1e-4)
    findings.add(Severity::warning, "nifti.quaternion", "the qform's quaternion has length ", std::sqrt(norm),
                 " > 1; it is scaled to 1");
  const nifti_dmat44 m =
      ::nifti_quatern_to_dmat44(b, c, d, h.quaternion_offset[0], h.quaternion_offset[1], h.quaternion_offset[2],
                                h.pixdim[1], h.pixdim[2], h.pixdim[3], h.pixdim[0] < 0 ? -1.0 : 1.0);
  Affine a;
  for (int r = 0; r < 3; ++r)
    for (int k = 0; k < 4; ++k) a(r, k) = m.m[r][k];
  return a;
}

inline double corner_distance(const Affine& a, const Affine& b, const Extent3& shape) {
  double worst = 0;
  for (int corner = 0; corner < 8; ++corner) {
    Vec3 index{};
    for (std::size_t d = 0; d < 3; ++d) index[d] = (corner >> d & 1) != 0 ? static_cast<double>(shape[d] - 1) : 0.0;
    const Vec3 p = a * index, q = b * index;
    const double distance =
        std::sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) + (p[2] - q[2]) * (p[2] - q[2]));
    worst = std::max(worst, distance);
  }
  return worst;
}

inline void choose_affine(NiftiInfo& info) {
  const NiftiHeader& h = info.header;
  const Affine qform = h.qform_code > 0 ? qform_of(h, info.findings) : Affine{};
  if (h.sform_code > 0) {
    info.affine = h.srow;
    info.affine_source = "sform";
    if (h.qform_code > 0 && h.srow.finite()) {
      info.forms_differ_mm = corner_distance(h.srow, qform, h.shape());
      if (info.forms_differ_mm >= forms_rounding_mm)
        info.findings.add(Severity::warning, "nifti.forms", "sform and qform place a corner of the scan ",
                          info.forms_differ_mm, " mm apart; the sform counts");
    }
  } else if (h.qform_code > 0) {
    info.affine = qform;
    info.affine_source = "qform";
  } else {
    info.affine_source = "pixdim";
    info.affine = scaling({-h.pixdim[1], h.pixdim[2], h.pixdim[3]});
    for (int d = 0; d < 3; ++d)
      info.affine(d, 3) = -0.5 * info.affine(d, d) * static_cast<double>(h.dim[static_cast<std::size_t>(d)] - 1);
    info.findings.add(
        Severity::warning, "nifti.no_orientation",
        "neither sform nor qform is set: which side is left is unknown; the first axis is taken to run to the left");
  }
  if (singular(info.affine))
    info.findings.add(Severity::error, "volume.singular", "the ", info.affine_source,
                      " is singular: its voxel axes do not span space, so left and right are unknown");
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
