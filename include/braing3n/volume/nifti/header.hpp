// The NIfTI-1 and NIfTI-2 header, checked before anything acts on it.
//
// Source: the NIfTI-1 and NIfTI-2 standards (nifti1.h, nifti2.h). Both byte orders. Every field that later decides about a
// size, an offset or a place is checked here; nothing is allocated and no C library sees the bytes first. The limits of
// what is repaired follow nibabel: what it repairs with a message gives a finding here, what it refuses is refused.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "braing3n/format/foreign_content.hpp"
#include "braing3n/format/text.hpp"
#include "braing3n/volume/findings.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class NiftiType : int {
  uint8 = 2,
  int16 = 4,
  int32 = 8,
  float32 = 16,
  complex64 = 32,
  float64 = 64,
  rgb24 = 128,
  int8 = 256,
  uint16 = 512,
  uint32 = 768,
  int64 = 1024,
  uint64 = 1280,
  float128 = 1536,
  complex128 = 1792,
  complex256 = 2048,
  rgba32 = 2304,
};

struct NiftiTypeInfo {
  NiftiType type;
  const char* name;
  int bytes;
  bool scalar;  // one real number per voxel, in a type that is computed with here
};
inline constexpr std::array<NiftiTypeInfo, 16> nifti_types{{
    {NiftiType::uint8, "uint8", 1, true},
    {NiftiType::int16, "int16", 2, true},
    {NiftiType::int32, "int32", 4, true},
    {NiftiType::float32, "float32", 4, true},
    {NiftiType::complex64, "complex64", 8, false},
    {NiftiType::float64, "float64", 8, true},
    {NiftiType::rgb24, "RGB24", 3, false},
    {NiftiType::int8, "int8", 1, true},
    {NiftiType::uint16, "uint16", 2, true},
    {NiftiType::uint32, "uint32", 4, true},
    {NiftiType::int64, "int64", 8, true},
    {NiftiType::uint64, "uint64", 8, true},
    {NiftiType::float128, "float128", 16, false},
    {NiftiType::complex128, "complex128", 16, false},
    {NiftiType::complex256, "complex256", 32, false},
    {NiftiType::rgba32, "RGBA32", 4, false},
}};

struct NiftiHeader {
  int version = 1;  // 1 or 2
  bool big_endian = false;
  bool single_file = true;  // header and voxels in one file
  NiftiTypeInfo type = nifti_types[0];
  int rank = 3;
  std::array<Index, 7> dim{1, 1, 1, 1, 1, 1, 1};  // 1 beyond `rank`
  std::array<double, 8> pixdim{};
  std::uint64_t voxel_offset = 0;
  double slope = 1, intercept = 0;  // value = slope * stored + intercept, when `scaled`
  bool scaled = false;
  int qform_code = 0, sform_code = 0;
  std::array<double, 3> quaternion{}, quaternion_offset{};
  Affine srow;
  int spatial_unit = 0;  // 0 unknown, 1 m, 2 mm, 3 um
  std::string mark;      // "SYNTHETIC" or "RECONSTRUCTION" when the description begins so; no other free text is kept

  Extent3 shape() const { return {dim[0], dim[1], dim[2]}; }
  Index volumes() const { return dim[3] * dim[4] * dim[5] * dim[6]; }
  std::uint64_t volume_bytes() const {
    return static_cast<std::uint64_t>(voxel_count(shape())) * static_cast<std::uint64_t>(type.bytes);
  }
  /// "240 x 240 x 155 x 3"
  std::string describe_dims() const {
    std::string text;
    for (int d = 0; d < rank; ++d) text += concat(d > 0 ? " x " : "", dim[static_cast<std::size_t>(d)]);
    return text;
  }
};

namespace detail {

/// Fields of a header in either byte order.
class HeaderBytes {
 public:
  HeaderBytes(std::span<const std::byte> bytes, bool swap) : bytes_(bytes), swap_(swap) {}
  template <class T>
  T get(std::size_t at) const {
    std::array<std::byte, sizeof(T)> raw;
    std::memcpy(raw.data(), bytes_.data() + at, sizeof(T));
    if (swap_) std::reverse(raw.begin(), raw.end());
    return std::bit_cast<T>(raw);
  }
  std::string_view text(std::size_t at, std::size_t n) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + at, n};
  }

 private:
  std::span<const std::byte> bytes_;
  bool swap_;
};

/// A guess at what a file without NIfTI's marks is, for the message.
inline std::string foreign_format(std::span<const std::byte> b) {
  const auto has = [&](std::size_t at, std::string_view mark) {
    return b.size() >= at + mark.size() && std::memcmp(b.data() + at, mark.data(), mark.size()) == 0;
  };
  if (has(0, std::string_view("\0\0\0\1", 4)))
    return "; it looks like a FreeSurfer MGH/MGZ file (convert it with mri_convert)";
  if (has(128, "DICM")) return "; it is a DICOM file (convert the series with dcm2niix)";
  if (has(0, "NRRD")) return "; it is an NRRD file (convert it to NIfTI)";
  if (has(0, "\x89HDF") || has(0, "CDF\1")) return "; it looks like a MINC or HDF5 file (convert it to NIfTI)";
  const std::string foreign = describe_foreign_content(b);
  return foreign.empty() ? foreign : "; it is " + foreign;
}

}  // namespace detail

/// Bytes that parse_nifti_header wants to see: the larger header.
inline constexpr std::size_t nifti_header_bytes = 540;

/// `bytes`: the beginning of the file, nifti_header_bytes of it if it is that long. Throws Error (format) for what cannot be
/// read safely; what was repaired is added to `findings`.
inline NiftiHeader parse_nifti_header(std::span<const std::byte> bytes, Findings& findings) {
  const auto refuse = [](const char* id, const auto&... parts) { fail(ErrorKind::format, id, parts...); };
  if (bytes.empty()) refuse("nifti.empty", "the file is empty");
  constexpr bool native_big = std::endian::native == std::endian::big;
  NiftiHeader h;
  // The size field tells version and byte order; the magic stands in when the size is wrong.
  const detail::HeaderBytes native(bytes, false), swapped(bytes, true);
  bool swap = false, known_size = true;
  const std::int32_t size = bytes.size() >= 4 ? native.get<std::int32_t>(0) : 0,
                     size_swapped = bytes.size() >= 4 ? swapped.get<std::int32_t>(0) : 0;
  if (size == 348 || size == 540) h.version = size == 348 ? 1 : 2;
  else if (size_swapped == 348 || size_swapped == 540) h.version = size_swapped == 348 ? 1 : 2, swap = true;
  else known_size = false;

  const auto magic_at = [&](std::size_t at, char version) {
    if (bytes.size() < at + 4) return false;
    const std::string_view m = native.text(at, 4);
    return m[0] == 'n' && (m[1] == '+' || m[1] == 'i') && m[2] == version && m[3] == '\0';
  };
  if (!known_size) {
    if (magic_at(344, '1')) h.version = 1;
    else if (magic_at(4, '2')) h.version = 2;
    else if (bytes.size() < 348 && detail::foreign_format(bytes).empty())
      refuse("nifti.short", "only ", bytes.size(), " bytes, shorter than a NIfTI header (348 bytes)");
    else
      refuse("nifti.magic", "not a NIfTI file: neither the header size nor the magic is NIfTI's",
             detail::foreign_format(bytes));
    const std::size_t dim_at = h.version == 1 ? 40 : 16;
    if (bytes.size() >= dim_at + 8) {
      const std::int64_t rank = h.version == 1 ? native.get<std::int16_t>(dim_at) : native.get<std::int64_t>(dim_at);
      swap = rank < 0 || rank > 7;
    }
    findings.add(Severity::warning, "nifti.sizeof_hdr", "the header gives its own size as ", swap ? size_swapped : size,
                 ", expected ", h.version == 1 ? 348 : 540);
  }
  const std::size_t wanted = h.version == 1 ? 348 : 540;
  if (bytes.size() < wanted)
    refuse("nifti.short", "only ", bytes.size(), " bytes, shorter than a NIfTI-", h.version, " header (", wanted,
           " bytes)");
  const detail::HeaderBytes b(bytes, swap);
  const bool v1 = h.version == 1;
  h.big_endian = swap != native_big;
  const std::size_t magic = v1 ? 344 : 4;
  if (!magic_at(magic, v1 ? '1' : '2')) {
    const std::string_view found = b.text(magic, 4);
    const bool blank = found == std::string_view("\0\0\0\0", 4);
    refuse("nifti.magic",
           blank ? "an Analyze 7.5 header, not NIfTI: it does not say which side is left; convert it to NIfTI"
                 : concat("not a NIfTI file: the magic is ", in_quotes(found), ", expected \"n+", h.version,
                          "\" or \"ni", h.version, "\""));
  }
  h.single_file = b.text(magic, 4)[1] == '+';
  if (!v1) {  // NIfTI-2 carries line ends that a transfer in text mode would change
    const std::string_view line_ends = b.text(8, 4);
    if (line_ends == std::string_view("\0\0\0\0", 4))
      findings.add(Severity::note, "nifti.line_ends",
                   "the header lacks the line ends after its magic, which would show a transfer in text mode");
    else if (line_ends != "\r\n\x1a\n")
      refuse("nifti.line_ends", "the line ends after the magic are ", in_quotes(line_ends),
             ": a transfer in text mode has changed the file; transfer it again");
  }

  // Dimensions.
  const std::int64_t rank = v1 ? b.get<std::int16_t>(40) : b.get<std::int64_t>(16);
  if (rank < 1 || rank > 7) refuse("nifti.rank", "the header says ", rank, " dimensions, expected 1 to 7");
  h.rank = static_cast<int>(rank);
  Index voxels = 1;
  for (std::size_t d = 0; d < 7; ++d) {
    const std::int64_t n = v1 ? b.get<std::int16_t>(42 + 2 * d) : b.get<std::int64_t>(24 + 8 * d);
    if (static_cast<int>(d) >= h.rank) continue;
    if (n < 1) refuse("nifti.dim", "dimension ", d + 1, " is ", n, ", expected at least 1");
    if (n > (Index{1} << 40) / voxels) refuse("nifti.dim", "the dimensions multiply to more than 2^40 voxels");
    h.dim[d] = n;
    voxels *= n;
  }

  // Element type.
  const int code = b.get<std::int16_t>(v1 ? 70 : 12), bits = b.get<std::int16_t>(v1 ? 72 : 14);
  bool known_type = false;
  for (const NiftiTypeInfo& t : nifti_types)
    if (static_cast<int>(t.type) == code) h.type = t, known_type = true;
  if (!known_type) refuse("nifti.datatype", "the element type ", code, " is not one of NIfTI's");
  if (bits != 8 * h.type.bytes)
    findings.add(Severity::warning, "nifti.bitpix", "the header gives ", bits, " bits per voxel, ", h.type.name,
                 " has ", 8 * h.type.bytes, "; the type counts");

  // Where the voxels begin.
  const double offset = v1 ? static_cast<double>(b.get<float>(108)) : static_cast<double>(b.get<std::int64_t>(168));
  const std::uint64_t least = h.single_file ? (v1 ? 352 : 544) : 0;
  if (!(offset >= 0 && offset <= 0x1p40))
    refuse("nifti.offset", "the voxels are said to begin at byte ", offset, ", which is no place in a file");
  h.voxel_offset = static_cast<std::uint64_t>(offset);
  if (h.voxel_offset == 0 && least > 0) {
    h.voxel_offset = least;
    findings.add(Severity::warning, "nifti.offset",
                 "the voxels are said to begin at byte 0, inside the header; read from byte ", least);
  }
  if (h.voxel_offset < least)
    refuse("nifti.offset", "the voxels are said to begin at byte ", h.voxel_offset, ", inside the header of ", least,
           " bytes");

  // Intensities.
  const double slope = v1 ? static_cast<double>(b.get<float>(112)) : b.get<double>(176);
  const double intercept = v1 ? static_cast<double>(b.get<float>(116)) : b.get<double>(184);
  if (slope != 0 && std::isfinite(slope)) {
    if (!std::isfinite(intercept))
      refuse("nifti.intercept", "the intercept is ", intercept, " while the slope is ", slope);
    h.slope = slope;
    h.intercept = intercept;
    h.scaled = slope != 1 || intercept != 0;
  } else if (!std::isfinite(slope)) {
    findings.add(Severity::note, "nifti.slope", "the slope is ", slope, "; stored values are taken as they are");
  } else if (intercept != 0) {
    findings.add(Severity::note, "nifti.slope", "the slope is 0; stored values are taken as they are (the intercept ",
                 intercept, " does not count)");
  }

  // Geometry.
  for (std::size_t d = 0; d < 8; ++d)
    h.pixdim[d] = v1 ? static_cast<double>(b.get<float>(76 + 4 * d)) : b.get<double>(104 + 8 * d);
  for (std::size_t d = 1; d <= 3; ++d) {
    double& p = h.pixdim[d];
    if (std::isfinite(p) && p > 0) continue;
    const double repaired = std::isfinite(p) && p < 0 ? -p : 1.0;
    if (static_cast<int>(d) <= h.rank)
      findings.add(Severity::warning, "nifti.pixdim", "the voxel size along axis ", d, " is ", p, "; read as ",
                   repaired, " mm");
    p = repaired;
  }
  h.qform_code = v1 ? b.get<std::int16_t>(252) : b.get<std::int32_t>(344);
  h.sform_code = v1 ? b.get<std::int16_t>(254) : b.get<std::int32_t>(348);
  for (int* xform : {&h.qform_code, &h.sform_code})
    if (*xform < 0 || *xform > 5) {
      findings.add(Severity::warning, "nifti.xform", xform == &h.qform_code ? "qform" : "sform", " code ", *xform,
                   " is unknown; it counts as absent");
      *xform = 0;
    }
  for (std::size_t i = 0; i < 3; ++i) {
    h.quaternion[i] = v1 ? static_cast<double>(b.get<float>(256 + 4 * i)) : b.get<double>(352 + 8 * i);
    h.quaternion_offset[i] = v1 ? static_cast<double>(b.get<float>(268 + 4 * i)) : b.get<double>(376 + 8 * i);
    for (std::size_t k = 0; k < 4; ++k)
      h.srow.rows[i][k] =
          v1 ? static_cast<double>(b.get<float>(280 + 16 * i + 4 * k)) : b.get<double>(400 + 32 * i + 8 * k);
  }
  const int units = v1 ? std::to_integer<int>(bytes[123]) : b.get<std::int32_t>(500);
  h.spatial_unit = units & 7;
  if (h.spatial_unit == 1 || h.spatial_unit == 3)
    findings.add(Severity::warning, "nifti.units", "the header gives lengths in ",
                 h.spatial_unit == 1 ? "metres" : "micrometres", "; they are read as millimetres, as other tools do");

  const int intent = v1 ? b.get<std::int16_t>(68) : b.get<std::int32_t>(504);
  if (intent >= 3000 && intent < 3100) refuse("nifti.cifti", "a CIFTI file (surface and region data), not a volume");
  const std::string_view description = b.text(v1 ? 148 : 240, 80);
  for (const char* mark : {"SYNTHETIC", "RECONSTRUCTION"})
    if (description.starts_with(mark)) h.mark = mark;
  return h;
}

}  // namespace braing3n::inline BRAING3N_ABI
