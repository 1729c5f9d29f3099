// Opening NIfTI files: which file holds the header and which the voxels, and whether the file can hold what its header says.
#pragma once

#include <cctype>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/format/gzip.hpp"
#include "braing3n/volume/nifti/geometry.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct NiftiReadOptions {
  Index volume = -1;  // which volume of a file with several; -1: the file must have one
  // A file that inflates to more than `bomb_bytes` may not do so more than `bomb_ratio`-fold.
  double bomb_ratio = 250;
  std::uint64_t bomb_bytes = std::uint64_t{256} << 20;
  std::uint64_t most_bytes = std::uint64_t{16} << 30;  // of voxels in one volume, as float32
};

namespace detail {

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
  const std::string stem = base.substr(0, base.size() - 3),
                    other = given_header ? (upper ? "IMG" : "img") : (upper ? "HDR" : "hdr");
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
  const bool named =
      ends_with_ignoring_case(stream.path().string(), ".gz") || ends_with_ignoring_case(stream.path().string(), ".mgz");
  if (stream.compressed() && !named)
    fail(ErrorKind::format, "nifti.name", "a gzip-compressed file whose name does not end in .gz; rename it");
  if (!stream.compressed() && named) {
    const std::string foreign = describe_foreign_content(stream.bytes());
    if (!foreign.empty() && foreign_format(stream.bytes()) == "; it is " + foreign && foreign != "a NIfTI file")
      fail(ErrorKind::format, "nifti.foreign", foreign, "; expected a NIfTI file");
  }
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
    fail(ErrorKind::file, "nifti.pair", "its other half ", in_quotes(f.paths.header.filename().string()),
         " is missing");
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
      fail(ErrorKind::file, "nifti.pair", "its other half ", in_quotes(f.paths.voxels.filename().string()),
           " is missing");
    if (!f.paths.pair)
      fail(ErrorKind::format, "nifti.pair",
           "the header of a .hdr/.img pair under another name; name the two files .hdr and .img");
    f.voxels = std::make_unique<ByteStream>(f.paths.voxels);
    require_name_fits(*f.voxels);
    f.info.compressed = f.info.compressed || f.voxels->compressed();
  }
  choose_affine(f.info);
  return f;
}

/// Everything that must hold before memory for the voxels is asked for. All volumes must be there, whichever is read: a file that ends
/// early was damaged on its way, and nothing tells that the part before its end is right.
inline void require_honest(OpenNifti& f, const NiftiReadOptions& options) {
  const NiftiHeader& h = f.info.header;
  const std::uint64_t all = h.voxel_offset + h.volume_bytes() * static_cast<std::uint64_t>(h.volumes());
  ByteStream& s = *f.voxels;
  const auto too_short = [&](std::uint64_t has) {
    fail(ErrorKind::format, "nifti.truncated", "the header promises ", h.describe_dims(), " voxels of ", h.type.name,
         ", ", all, " bytes in all; there are ", s.compressed() && has == s.most_bytes() ? "at most " : "", has,
         ": the file is cut off or its header is wrong");
  };
  if (all > s.most_bytes()) too_short(s.compressed() ? s.most_bytes() : s.file_bytes());
  if (static_cast<std::uint64_t>(voxel_count(h.shape())) > options.most_bytes / sizeof(float))
    fail(ErrorKind::format, "nifti.large", "expected one volume of at most ", options.most_bytes >> 20, " MiB, got ",
         describe(h.shape()), " voxels");
  if (!s.compressed()) {
    if (s.file_bytes() > all)
      f.info.findings.add(Severity::note, "nifti.trailing", s.file_bytes() - all,
                          " bytes follow the voxels and are ignored");
    return;
  }
  if (all > options.bomb_bytes && static_cast<double>(all) > options.bomb_ratio * static_cast<double>(s.file_bytes()))
    fail(ErrorKind::format, "gzip.bomb", "its ", s.file_bytes(), " bytes are said to inflate to ", all, ", more than ",
         options.bomb_ratio, "-fold: refused as a gzip bomb");
  // gzip says its length at the end (of the last member). When that does not fit, count before asking for memory.
  if (s.stated_length() == static_cast<std::uint32_t>(all)) return;
  ByteStream count(s.path());
  const std::uint64_t has = count.skip(all);
  if (has < all) too_short(has);
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
