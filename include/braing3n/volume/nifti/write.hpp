// Writing NIfTI scans (.nii, .nii.gz): whole files or nothing.
//
// The header is made by libnifti2 from a structure in which every field is set; no byte of it and no text comes from an
// input file. Both forms describe the same place: the sform always, the qform when a rotation and voxel sizes can express
// the affine (to 1e-3 mm); otherwise (sheared axes) the qform is left out rather than wrong. The files of one volume are
// the same bytes every time: no time stamp, one fixed compression level.
#pragma once

#include <zlib.h>

#include <cmath>
#include <memory>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/volume/nifti/read.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct NiftiWriteOptions {
  // Stored element type; value = slope * stored + intercept. Whole-number types are rounded and kept inside their range.
  NiftiType type = NiftiType::float32;
  double slope = 1, intercept = 0;
  int form_code = 1;          // what the world is: 1 the scanner, 2 another scan, 3 Talairach, 4 MNI 152
  std::string description{};  // at most 79 bytes, never text from an input; the mark of the volume is put before it
  int version = 0;            // 1 or 2; 0: NIfTI-1 unless an axis is longer than 32767
  int compression = 1;        // zlib level of .nii.gz
  WriteOptions file{};        // overwrite and so on
};

namespace detail {

/// Compresses a stream of bytes into an AtomicFile, or passes them through.
class NiftiSink {
 public:
  NiftiSink(AtomicFile& file, bool compress, int level) : file_(file), compress_(compress) {
    if (!compress_) return;
    if (::deflateInit2(&z_, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
      fail(ErrorKind::environment, "gzip.memory", "no memory to compress");
    buffer_.resize(std::size_t{1} << 17);
  }
  ~NiftiSink() {
    if (compress_) ::deflateEnd(&z_);
  }
  NiftiSink(const NiftiSink&) = delete;
  NiftiSink& operator=(const NiftiSink&) = delete;

  void write(std::span<const std::byte> bytes) {
    if (!compress_) {
      file_.write(bytes);
      return;
    }
    while (!bytes.empty()) {
      const std::size_t piece = std::min(bytes.size(), std::size_t{1} << 30);
      z_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
      z_.avail_in = static_cast<uInt>(piece);
      deflate(Z_NO_FLUSH);
      bytes = bytes.subspan(piece);
    }
  }
  void finish() {
    if (compress_) deflate(Z_FINISH);
  }

 private:
  void deflate(int flush) {
    for (;;) {
      z_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      z_.avail_out = static_cast<uInt>(buffer_.size());
      const int result = ::deflate(&z_, flush);
      file_.write(std::span<const std::byte>(buffer_.data(), buffer_.size() - z_.avail_out));
      if (result == Z_STREAM_END || (flush == Z_NO_FLUSH && z_.avail_in == 0 && z_.avail_out > 0)) return;
      if (result != Z_OK && result != Z_BUF_ERROR) fail(ErrorKind::environment, "gzip.write", "zlib cannot compress");
    }
  }
  AtomicFile& file_;
  bool compress_;
  z_stream z_{};
  std::vector<std::byte> buffer_;
};

/// The bytes of the header and the four bytes that say "no extensions".
inline std::vector<std::byte> nifti_header_of(const Grid& grid, const NiftiTypeInfo& type, const NiftiWriteOptions& o) {
  const Vec3 mm = spacing(grid.affine);
  const std::unique_ptr<nifti_image, void (*)(nifti_image*)> image(::nifti_simple_init_nim(), ::nifti_image_free);
  if (image == nullptr) fail(ErrorKind::environment, "nifti.memory", "no memory for a header");
  image->ndim = image->dim[0] = 3;
  image->nx = image->dim[1] = grid.shape[0];
  image->ny = image->dim[2] = grid.shape[1];
  image->nz = image->dim[3] = grid.shape[2];
  for (int d = 4; d < 8; ++d) image->dim[d] = 1;
  image->nt = image->nu = image->nv = image->nw = 1;
  image->nvox = voxel_count(grid.shape);
  image->datatype = static_cast<int>(type.type);
  image->nbyper = type.bytes;
  image->dx = image->pixdim[1] = mm[0];
  image->dy = image->pixdim[2] = mm[1];
  image->dz = image->pixdim[3] = mm[2];
  image->scl_slope = o.slope;
  image->scl_inter = o.intercept;
  image->xyz_units = NIFTI_UNITS_MM;
  image->time_units = NIFTI_UNITS_SEC;
  image->sform_code = o.form_code;
  nifti_dmat44 m{};
  for (int r = 0; r < 3; ++r)
    for (int k = 0; k < 4; ++k) m.m[r][k] = grid.affine(r, k);
  m.m[3][3] = 1;
  image->sto_xyz = m;
  double dx = 0, dy = 0, dz = 0;
  ::nifti_dmat44_to_quatern(m, &image->quatern_b, &image->quatern_c, &image->quatern_d, &image->qoffset_x,
                            &image->qoffset_y, &image->qoffset_z, &dx, &dy, &dz, &image->qfac);
  const nifti_dmat44 q =
      ::nifti_quatern_to_dmat44(image->quatern_b, image->quatern_c, image->quatern_d, image->qoffset_x,
                                image->qoffset_y, image->qoffset_z, mm[0], mm[1], mm[2], image->qfac);
  Affine qform;
  for (int r = 0; r < 3; ++r)
    for (int k = 0; k < 4; ++k) qform(r, k) = q.m[r][k];
  image->qform_code = corner_distance(qform, grid.affine, grid.shape) <= 1e-3 ? o.form_code : 0;
  image->qto_xyz = q;
  const Index longest = std::max({grid.shape[0], grid.shape[1], grid.shape[2]});
  const int version = o.version != 0 ? o.version : longest > 32767 ? 2 : 1;
  image->nifti_type = version == 1 ? NIFTI_FTYPE_NIFTI1_1 : NIFTI_FTYPE_NIFTI2_1;
  image->iname_offset = version == 1 ? 352 : 544;
  std::copy(o.description.begin(), o.description.end(), image->descrip);

  const auto pack = [](auto header, int (*convert)(const nifti_image*, decltype(header)*), const nifti_image* from) {
    std::memset(&header, 0, sizeof(header));
    if (convert(from, &header) != 0)
      fail(ErrorKind::argument, "nifti.header", "the C library cannot make a header of this grid");
    std::vector<std::byte> bytes(sizeof(header) + 4, std::byte{0});
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
  };
  if (version == 1) return pack(nifti_1_header{}, ::nifti_convert_nim2n1hdr, image.get());
  std::vector<std::byte> bytes = pack(nifti_2_header{}, ::nifti_convert_nim2n2hdr, image.get());
  std::memcpy(bytes.data() + 8, "\r\n\x1a\n", 4);  // the second half of the magic, which the C library leaves 0
  return bytes;
}

/// Slices [z0, z0 + slices) of the values (X, Y, Z) in file order, converted.
template <class T>
void take_slices(Context<Cpu>& ctx, const float* values, const Extent3& n, const NiftiWriteOptions& o, Index z0,
                 Index slices, std::byte* raw) {
  const bool scaled = o.slope != 1 || o.intercept != 0;
  ctx.parallel_range(n[1], 4, [&](Index begin, Index end) {
    for (Index y = begin; y < end; ++y)
      for (Index x = 0; x < n[0]; ++x) {
        const float* line = values + (x * n[1] + y) * n[2] + z0;
        for (Index z = 0; z < slices; ++z) {
          double v = static_cast<double>(line[z]);
          if (scaled) v = (v - o.intercept) / o.slope;
          T stored;
          if constexpr (std::is_floating_point_v<T>) {
            stored = static_cast<T>(v);
          } else {
            // The largest 64-bit integers are no doubles: compare against the next power of two, which is one.
            constexpr double low = static_cast<double>(std::numeric_limits<T>::min());
            constexpr double high = static_cast<double>(std::numeric_limits<T>::max() / 2 + 1) * 2.0;
            const double r = std::nearbyint(v);
            stored = !(r > low)  ? (std::isnan(r) ? T{0} : std::numeric_limits<T>::min())
                     : r >= high ? std::numeric_limits<T>::max()
                                 : static_cast<T>(r);
          }
          std::memcpy(raw + static_cast<std::size_t>((z * n[1] + y) * n[0] + x) * sizeof(T), &stored, sizeof(T));
        }
      }
  });
}

inline void take_slices(Context<Cpu>& ctx, const float* v, const Extent3& n, const NiftiWriteOptions& o, Index z0,
                        Index slices, std::byte* raw) {
  switch (o.type) {
    case NiftiType::uint8:
      return take_slices<std::uint8_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::int8:
      return take_slices<std::int8_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::uint16:
      return take_slices<std::uint16_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::int16:
      return take_slices<std::int16_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::uint32:
      return take_slices<std::uint32_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::int32:
      return take_slices<std::int32_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::uint64:
      return take_slices<std::uint64_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::int64:
      return take_slices<std::int64_t>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::float32:
      return take_slices<float>(ctx, v, n, o, z0, slices, raw);
    case NiftiType::float64:
      return take_slices<double>(ctx, v, n, o, z0, slices, raw);
    default:
      fail(ErrorKind::dtype, "nifti.type", "this element type is not written");
  }
}

/// The description of a file begins with the volume's mark: "SYNTHETIC braing3n 0.1.0". Cut to what NIfTI holds.
inline std::string marked_description(Provenance provenance, const std::string& description) {
  const std::string mark(mark_of(provenance));
  if (mark.empty() || description.starts_with(mark)) return description;
  std::string text = mark + " " + (description.empty() ? concat("braing3n ", version()) : description);
  text.resize(std::min<std::size_t>(text.size(), 79));
  return text;
}

}  // namespace detail

/// The options that store a volume as the file it came from did.
inline NiftiWriteOptions like_input(const NiftiInfo& info) {
  NiftiWriteOptions o;
  o.type = info.header.type.type;
  o.slope = info.header.scaled ? info.header.slope : 1;
  o.intercept = info.header.scaled ? info.header.intercept : 0;
  const int code = info.affine_source == "sform" ? info.header.sform_code : info.header.qform_code;
  o.form_code = code > 0 ? code : 1;
  o.version = info.header.version;
  return o;
}

/// A volume that is no scan is marked as such (`Volume::provenance`). Throws Error: argument (name, description, type), file (exists, not writable), environment (full disk). Nothing is left
/// under the name unless all of it is there.
inline void write_nifti(Context<Cpu>& ctx, const std::filesystem::path& path, const Volume& volume,
                        const NiftiWriteOptions& options = {}) {
  try {
    const std::string name = path.string();
    const bool compress = detail::ends_with_ignoring_case(name, ".nii.gz");
    if (!compress && !detail::ends_with_ignoring_case(name, ".nii"))
      fail(ErrorKind::argument, "nifti.name", "expected a name that ends in .nii or .nii.gz");
    if (options.description.size() > 79)
      fail(ErrorKind::argument, "nifti.description", "expected a description of at most 79 bytes, got ",
           options.description.size());
    if (!(options.slope != 0 && std::isfinite(options.slope) && std::isfinite(options.intercept)))
      fail(ErrorKind::argument, "nifti.slope", "expected a finite slope other than 0 and a finite intercept, got ",
           options.slope, " and ", options.intercept);
    if (options.version < 0 || options.version > 2 || options.form_code < 1 || options.form_code > 5)
      fail(ErrorKind::argument, "nifti.version", "version ", options.version, " or form code ", options.form_code,
           " is not NIfTI's");
    const Extent3 n = volume.shape();
    if (volume.size() == 0) fail(ErrorKind::shape, "nifti.empty", "expected a volume with voxels, got ", describe(n));
    if (options.version == 1 && std::max({n[0], n[1], n[2]}) > 32767)
      fail(ErrorKind::argument, "nifti.version", "NIfTI-1: expected at most 32767 voxels along an axis, got ",
           describe(n));
    if (singular(volume.affine)) fail(ErrorKind::format, "volume.singular", "the affine of the volume is singular");
    const NiftiTypeInfo* type = nullptr;
    for (const NiftiTypeInfo& t : nifti_types)
      if (t.type == options.type && t.scalar) type = &t;
    if (type == nullptr)
      fail(ErrorKind::dtype, "nifti.type", "element type ", static_cast<int>(options.type), " is not written");

    AtomicFile file(path, options.file);
    detail::NiftiSink sink(file, compress, options.compression);
    NiftiWriteOptions marked = options;
    marked.description = detail::marked_description(volume.provenance, options.description);
    sink.write(detail::nifti_header_of(volume.grid(), *type, marked));
    const std::size_t slice = static_cast<std::size_t>(n[0] * n[1]) * static_cast<std::size_t>(type->bytes);
    const Index at_once = std::min<Index>(16, n[2]);
    std::vector<std::byte> raw(slice * static_cast<std::size_t>(at_once));
    for (Index z = 0; z < n[2]; z += at_once) {
      const Index slices = std::min(at_once, n[2] - z);
      detail::take_slices(ctx, volume.data(), n, options, z, slices, raw.data());
      sink.write(std::span<const std::byte>(raw.data(), slice * static_cast<std::size_t>(slices)));
    }
    sink.finish();
    file.commit();
  } catch (const Error& e) {
    throw e.at(path.string());
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
