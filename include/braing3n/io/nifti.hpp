// Reading NIfTI scans: .nii, .hdr/.img pairs, both also gzip-compressed; NIfTI-1 and -2, both byte orders, every scalar type.
//
// Who does what: our own code checks the header (nifti_header.hpp) and moves the voxels (inflate, convert and transpose in
// one pass through a buffer that fits the cache; the C library would need the whole file a second time in memory and believes
// its header). libnifti2 turns the checked quaternion into a matrix, and headers are written through it (nifti_write.hpp).
//
// Where voxels lie: the sform if its code is > 0, else the qform if its code is > 0, else the voxel sizes with the first axis
// to the left and the middle of the scan at the origin (as nibabel does), with a warning. Complex, RGB and float128 voxels
// are refused: they are not one number per voxel, or not one this machine computes with.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/context.hpp"
#include "braing3n/io/gzip.hpp"
#include "braing3n/io/nifti_clib.hpp"
#include "braing3n/io/nifti_header.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct NiftiReadOptions {
  Index volume = -1;  // which volume of a file with several; -1: the file must have one
  // A file that inflates to more than `bomb_bytes` may not do so more than `bomb_ratio`-fold.
  double bomb_ratio = 250;
  std::uint64_t bomb_bytes = std::uint64_t{256} << 20;
  std::uint64_t most_bytes = std::uint64_t{16} << 30;  // of voxels in one volume, as float32
};

/// What is known about a file besides the values of its voxels.
struct NiftiInfo {
  NiftiHeader header;
  bool compressed = false;
  std::string affine_source;  // "sform", "qform" or "pixdim"
  Affine affine;
  double forms_differ_mm = 0;  // largest distance between the places that sform and qform give to a corner of the scan
  Findings findings;
};

struct NiftiVolume {
  Volume volume;
  NiftiInfo info;
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
    findings.add(Severity::warning, "nifti.quaternion", "the qform's quaternion has length ", std::sqrt(norm), " > 1; it is scaled to 1");
  const nifti_dmat44 m = ::nifti_quatern_to_dmat44(b, c, d, h.quaternion_offset[0], h.quaternion_offset[1], h.quaternion_offset[2], h.pixdim[1],
                                                   h.pixdim[2], h.pixdim[3], h.pixdim[0] < 0 ? -1.0 : 1.0);
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
    const double distance = std::sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) + (p[2] - q[2]) * (p[2] - q[2]));
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
      if (info.forms_differ_mm > 1e-3)
        info.findings.add(Severity::warning, "nifti.forms", "sform and qform place a corner of the scan ", info.forms_differ_mm,
                          " mm apart; the sform counts");
    }
  } else if (h.qform_code > 0) {
    info.affine = qform;
    info.affine_source = "qform";
  } else {
    info.affine_source = "pixdim";
    info.affine = scaling({-h.pixdim[1], h.pixdim[2], h.pixdim[3]});
    for (int d = 0; d < 3; ++d) info.affine(d, 3) = -0.5 * info.affine(d, d) * static_cast<double>(h.dim[static_cast<std::size_t>(d)] - 1);
    info.findings.add(Severity::warning, "nifti.no_orientation",
                      "neither sform nor qform is set: which side is left is unknown; the first axis is taken to run to the left");
  }
  if (singular(info.affine))
    info.findings.add(Severity::error, "volume.singular", "the ", info.affine_source,
                      " is singular: its voxel axes do not span space, so left and right are unknown");
}

inline bool ends_with_ignoring_case(const std::string& text, std::string_view end) {
  if (text.size() < end.size()) return false;
  for (std::size_t i = 0; i < end.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(text[text.size() - end.size() + i])) != end[i]) return false;
  return true;
}

/// The file with the header, the file with the voxels.
struct NiftiPaths {
  std::filesystem::path header, voxels;
  bool pair = false;
};

/// x.img -> x.hdr and so on; of several partners (plain, compressed) the one that exists.
inline NiftiPaths nifti_paths(const std::filesystem::path& path) {
  std::string base = path.string();
  const std::string gz = ends_with_ignoring_case(base, ".gz") ? base.substr(base.size() - 3) : "";
  base.resize(base.size() - gz.size());
  NiftiPaths p{path, path, false};
  if (!ends_with_ignoring_case(base, ".hdr") && !ends_with_ignoring_case(base, ".img")) return p;
  p.pair = true;
  const bool given_header = ends_with_ignoring_case(base, ".hdr");
  const bool upper = base[base.size() - 3] == 'H' || base[base.size() - 3] == 'I';
  const std::string stem = base.substr(0, base.size() - 3), other = given_header ? (upper ? "IMG" : "img") : (upper ? "HDR" : "hdr");
  std::filesystem::path partner = stem + other + gz;
  std::error_code ignored;
  if (!std::filesystem::exists(partner, ignored)) {
    const std::filesystem::path second = stem + other + (gz.empty() ? ".gz" : "");
    if (std::filesystem::exists(second, ignored)) partner = second;
  }
  (given_header ? p.voxels : p.header) = partner;
  return p;
}

inline void require_name_fits(const ByteStream& stream) {
  const bool named = ends_with_ignoring_case(stream.path().string(), ".gz") || ends_with_ignoring_case(stream.path().string(), ".mgz");
  if (stream.compressed() && !named)
    fail(ErrorKind::format, "nifti.name", "a gzip-compressed file whose name does not end in .gz; rename it");
  if (!stream.compressed() && named && stream.file_bytes() > 0)
    fail(ErrorKind::format, "nifti.name", "not gzip-compressed although its name ends in .gz; rename it");
}

struct OpenNifti {
  NiftiInfo info;
  NiftiPaths paths;
  std::unique_ptr<ByteStream> voxels;  // at the first byte after the header that was read, or at 0 for a pair
  std::uint64_t position = 0;
};

inline OpenNifti open_nifti(const std::filesystem::path& path) {
  OpenNifti f;
  f.paths = nifti_paths(path);
  std::error_code gone;
  if (f.paths.header != path && std::filesystem::exists(path, gone) && !std::filesystem::exists(f.paths.header, gone))
    fail(ErrorKind::file, "nifti.pair", "its other half ", in_quotes(f.paths.header.filename().string()), " is missing");
  auto stream = std::make_unique<ByteStream>(f.paths.header);
  std::vector<std::byte> bytes(nifti_header_bytes);
  std::size_t got = 0;
  require_name_fits(*stream);
  got = stream->read(bytes.data(), bytes.size());
  f.info.header = parse_nifti_header({bytes.data(), got}, f.info.findings);
  f.info.compressed = stream->compressed();
  if (f.info.header.single_file) {
    f.position = got;
    f.voxels = std::move(stream);
    if (f.position > f.info.header.voxel_offset) {  // a NIfTI-1 header is shorter than what was read: begin again
      f.voxels = std::make_unique<ByteStream>(f.paths.header);
      f.position = 0;
    }
  } else {
    std::error_code ignored;
    if (f.paths.pair && !std::filesystem::exists(f.paths.voxels, ignored))
      fail(ErrorKind::file, "nifti.pair", "its other half ", in_quotes(f.paths.voxels.filename().string()), " is missing");
    if (!f.paths.pair) fail(ErrorKind::format, "nifti.pair", "the header of a .hdr/.img pair under another name; name the two files .hdr and .img");
    f.voxels = std::make_unique<ByteStream>(f.paths.voxels);
    require_name_fits(*f.voxels);
    f.info.compressed = f.info.compressed || f.voxels->compressed();
  }
  choose_affine(f.info);
  return f;
}

template <class T>
BRAING3N_INLINE T load_voxel(const std::byte* at, bool swap) {
  T v;
  if constexpr (sizeof(T) == 1) {
    std::memcpy(&v, at, 1);
  } else {
    using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
    Bits bits;
    std::memcpy(&bits, at, sizeof(T));
    if (swap) {
      if constexpr (sizeof(T) == 2) bits = __builtin_bswap16(bits);
      else if constexpr (sizeof(T) == 4) bits = __builtin_bswap32(bits);
      else bits = __builtin_bswap64(bits);
    }
    v = __builtin_bit_cast(T, bits);
  }
  return v;
}

/// Converts `slices` slices (file order: first axis next to each other) into result (X, Y, Z), slices [z0, z0 + slices).
/// value = slope * stored + intercept in double, then rounded to float once.
template <class T>
void place_slices(Context<Cpu>& ctx, const std::byte* raw, const NiftiHeader& h, Index z0, Index slices, float* result) {
  const Extent3 n = h.shape();
  const bool swap = h.big_endian != (std::endian::native == std::endian::big);
  const double slope = h.slope, intercept = h.intercept;
  const bool scaled = h.scaled;
  constexpr Index tile = 16;
  ctx.parallel_range(n[1], std::max<Index>(1, 8192 / std::max<Index>(1, n[0])), [&](Index begin, Index end) {
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      float block[tile][tile];  // [x][z]
      for (Index y = begin; y < end; ++y)
        for (Index x0 = 0; x0 < n[0]; x0 += tile) {
          const Index width = std::min(tile, n[0] - x0);
          for (Index z = 0; z < slices; ++z) {
            const std::byte* line = raw + static_cast<std::size_t>((z * n[1] + y) * n[0] + x0) * sizeof(T);
            for (Index x = 0; x < width; ++x) {
              const T stored = load_voxel<T>(line + static_cast<std::size_t>(x) * sizeof(T), swap);
              block[x][z] = scaled ? static_cast<float>(slope * static_cast<double>(stored) + intercept) : static_cast<float>(stored);
            }
          }
          for (Index x = 0; x < width; ++x) {
            float* out = result + ((x0 + x) * n[1] + y) * n[2] + z0;
            for (Index z = 0; z < slices; ++z) out[z] = block[x][z];
          }
        }
    });
  });
}

inline void place_slices(Context<Cpu>& ctx, const std::byte* raw, const NiftiHeader& h, Index z0, Index slices, float* result) {
  switch (h.type.type) {
    case NiftiType::uint8: return place_slices<std::uint8_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int8: return place_slices<std::int8_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::uint16: return place_slices<std::uint16_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int16: return place_slices<std::int16_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::uint32: return place_slices<std::uint32_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int32: return place_slices<std::int32_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::uint64: return place_slices<std::uint64_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int64: return place_slices<std::int64_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::float32: return place_slices<float>(ctx, raw, h, z0, slices, result);
    case NiftiType::float64: return place_slices<double>(ctx, raw, h, z0, slices, result);
    default: fail(ErrorKind::dtype, "nifti.type", "element type ", h.type.name, " has no single real value per voxel");
  }
}

/// Everything that must hold before memory for the voxels is asked for.
inline void require_honest(OpenNifti& f, Index volume, const NiftiReadOptions& options) {
  const NiftiHeader& h = f.info.header;
  const std::uint64_t offset = h.voxel_offset, each = h.volume_bytes();
  const std::uint64_t needed = offset + each * static_cast<std::uint64_t>(volume + 1), all = offset + each * static_cast<std::uint64_t>(h.volumes());
  ByteStream& s = *f.voxels;
  const auto too_short = [&](std::uint64_t has) {
    fail(ErrorKind::format, "nifti.truncated", "the header promises ", h.describe_dims(), " voxels of ", h.type.name, ", ", needed, " bytes in all; there are ",
         s.compressed() && has == s.most_bytes() ? "at most " : "", has, ": the file is cut off or its header is wrong");
  };
  if (needed > s.most_bytes()) too_short(s.compressed() ? s.most_bytes() : s.file_bytes());
  if (static_cast<std::uint64_t>(voxel_count(h.shape())) > options.most_bytes / sizeof(float))
    fail(ErrorKind::format, "nifti.large", "one volume of ", describe(h.shape()), " voxels needs more than the limit of ", options.most_bytes >> 20, " MiB");
  if (!s.compressed()) {
    if (s.file_bytes() > all) f.info.findings.add(Severity::note, "nifti.trailing", s.file_bytes() - all, " bytes follow the voxels and are ignored");
    return;
  }
  if (needed > options.bomb_bytes && static_cast<double>(needed) > options.bomb_ratio * static_cast<double>(s.file_bytes()))
    fail(ErrorKind::format, "gzip.bomb", "its ", s.file_bytes(), " bytes are said to inflate to ", needed, ", more than ", options.bomb_ratio,
         "-fold: refused as a gzip bomb");
  // gzip says its length at the end (of the last member). When that does not fit, count before asking for memory.
  if (s.stated_length() == static_cast<std::uint32_t>(all)) return;
  ByteStream count(s.path());
  const std::uint64_t has = count.skip(needed);
  if (has < needed) too_short(has);
}

}  // namespace detail

/// Header, geometry and findings, without the voxels. Throws Error (file, format).
inline NiftiInfo read_nifti_info(const std::filesystem::path& path) {
  try {
    return detail::open_nifti(path).info;
  } catch (const Error& e) {
    throw e.at(path.string());
  }
}

/// One volume as float32. Throws Error: file (cannot be opened), format (damaged, lying or unsupported content), dtype
/// (complex, RGB, float128), argument (several volumes and none chosen). A singular affine is an error among the findings.
inline NiftiVolume read_nifti(Context<Cpu>& ctx, const std::filesystem::path& path, const NiftiReadOptions& options = {}) {
  try {
    detail::OpenNifti f = detail::open_nifti(path);
    const NiftiHeader& h = f.info.header;
    if (!h.type.scalar)
      fail(ErrorKind::dtype, "nifti.type", "the voxels are ", h.type.name, ", which is not one real number per voxel that can be read here");
    const Index volumes = h.volumes();
    if (options.volume < 0 && volumes > 1)
      fail(ErrorKind::argument, "nifti.volumes", "the file holds ", volumes, " volumes (", h.describe_dims(), "); choose one, 0 to ", volumes - 1, " (--index)");
    const Index chosen = std::max<Index>(0, options.volume);
    if (chosen >= volumes) fail(ErrorKind::argument, "nifti.volumes", "volume ", chosen, " was asked for, the file holds ", volumes);
    detail::require_honest(f, chosen, options);

    Volume volume(Grid{h.shape(), f.info.affine});
    const Index depth = h.shape()[2];
    const std::uint64_t slice = h.volume_bytes() / static_cast<std::uint64_t>(depth);
    const std::uint64_t begin = h.voxel_offset + h.volume_bytes() * static_cast<std::uint64_t>(chosen);
    constexpr Index most_slices = 16;
    if (!f.voxels->compressed()) {
      const std::byte* raw = f.voxels->bytes().data() + begin;
      for (Index z = 0; z < depth; z += most_slices)
        detail::place_slices(ctx, raw + slice * static_cast<std::uint64_t>(z), h, z, std::min(most_slices, depth - z), volume.data());
    } else {
      const auto cut_off = [&] { fail(ErrorKind::format, "gzip.truncated", "the gzip stream ends before the last voxel: the file is cut off"); };
      if (f.voxels->skip(begin - f.position) < begin - f.position) cut_off();
      // The buffer stays a fraction of the result.
      const std::uint64_t room = std::max<std::uint64_t>(std::uint64_t{1} << 20, static_cast<std::uint64_t>(volume.size()));
      const Index at_once = std::clamp<Index>(static_cast<Index>(room / slice), 1, std::min(most_slices, depth));
      const std::unique_ptr<std::byte[]> buffer(new std::byte[static_cast<std::size_t>(slice) * static_cast<std::size_t>(at_once)]);
      for (Index z = 0; z < depth; z += at_once) {
        const Index slices = std::min(at_once, depth - z);
        const std::size_t bytes = static_cast<std::size_t>(slice) * static_cast<std::size_t>(slices);
        if (f.voxels->read(buffer.get(), bytes) < bytes) cut_off();
        detail::place_slices(ctx, buffer.get(), h, z, slices, volume.data());
      }
      // The checksum comes last; of a file with several volumes only when the last one was read.
      const bool last = chosen + 1 == volumes;
      const std::uint64_t after = last ? f.voxels->skip(std::uint64_t{1} << 20) : 0;
      if (f.voxels->checksum_failed())
        f.info.findings.add(Severity::warning, "gzip.checksum", "the gzip checksum is wrong: voxels may be damaged");
      if (after + f.voxels->trailing_bytes() > 0)
        f.info.findings.add(Severity::note, "nifti.trailing", after > 0 ? after : f.voxels->trailing_bytes(), " bytes or more follow the voxels and are ignored");
    }
    return {std::move(volume), std::move(f.info)};
  } catch (const Error& e) {
    throw e.at(path.string());
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
