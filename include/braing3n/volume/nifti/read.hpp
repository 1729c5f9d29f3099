// Reading NIfTI scans: .nii, .hdr/.img pairs, both also gzip-compressed; NIfTI-1 and -2, both byte orders, every scalar type.
//
// Who does what: our own code checks the header (header.hpp), decides where the scan lies (geometry.hpp), opens the
// files and asks whether they can hold what the header promises (file.hpp), and moves the voxels (voxels.hpp): the C
// library would need the whole file a second time in memory and believes its header. Headers are written through it
// (write.hpp). Complex, RGB and float128 voxels are refused: they are not one number per voxel, or not one this machine
// computes with.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "braing3n/volume/nifti/file.hpp"
#include "braing3n/volume/nifti/voxels.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct NiftiVolume {
  Volume volume;
  NiftiInfo info;
};

/// Header, geometry and findings, without the voxels. Throws Error (file, format).
inline NiftiInfo read_nifti_info(const std::filesystem::path& path) {
  try {
    return detail::open_nifti(path).info;
  } catch (const Error& e) {
    throw e.at(path.string());
  }
}

/// One volume as float32; the file must hold all of them. Throws Error: file (cannot be opened), format (damaged, lying or unsupported content), dtype
/// (complex, RGB, float128), argument (several volumes and none chosen). A singular affine is an error among the findings.
inline NiftiVolume read_nifti(Context<Cpu>& ctx, const std::filesystem::path& path,
                              const NiftiReadOptions& options = {}) {
  try {
    detail::OpenNifti f = detail::open_nifti(path);
    const NiftiHeader& h = f.info.header;
    if (!h.type.scalar)
      fail(ErrorKind::dtype, "nifti.type", "expected one real number per voxel of a type that is read, got ",
           h.type.name);
    const Index volumes = h.volumes();
    if (options.volume < 0 && volumes > 1)
      fail(ErrorKind::argument, "nifti.volumes", "the file holds ", volumes, " volumes (", h.describe_dims(),
           "): expected the number of one of them, 0 to ", volumes - 1, ", got none");
    const Index chosen = std::max<Index>(0, options.volume);
    if (chosen >= volumes)
      fail(ErrorKind::argument, "nifti.volumes", "expected the number of a volume, 0 to ", volumes - 1, ", got ",
           chosen);
    detail::require_honest(f, options);

    Volume volume(Grid{h.shape(), f.info.affine});
    volume.provenance = provenance_of_mark(h.mark);
    const Index depth = h.shape()[2];
    const std::uint64_t slice = h.volume_bytes() / static_cast<std::uint64_t>(depth);
    const std::uint64_t begin = h.voxel_offset + h.volume_bytes() * static_cast<std::uint64_t>(chosen);
    constexpr Index most_slices = 16;
    if (!f.voxels->compressed()) {
      const std::byte* raw = f.voxels->bytes().data() + begin;
      for (Index z = 0; z < depth; z += most_slices)
        detail::place_slices(ctx, raw + slice * static_cast<std::uint64_t>(z), h, z, std::min(most_slices, depth - z),
                             volume.data());
    } else {
      const auto cut_off = [&] {
        fail(ErrorKind::format, "gzip.truncated", "the gzip stream ends before the last voxel: the file is cut off");
      };
      if (f.voxels->skip(begin - f.position) < begin - f.position) cut_off();
      // The buffer stays a fraction of the result.
      const std::uint64_t room =
          std::max<std::uint64_t>(std::uint64_t{1} << 20, static_cast<std::uint64_t>(volume.size()));
      const Index at_once = std::clamp<Index>(static_cast<Index>(room / slice), 1, std::min(most_slices, depth));
      const std::unique_ptr<std::byte[]> buffer(
          new std::byte[static_cast<std::size_t>(slice) * static_cast<std::size_t>(at_once)]);
      for (Index z = 0; z < depth; z += at_once) {
        const Index slices = std::min(at_once, depth - z);
        const std::size_t bytes = static_cast<std::size_t>(slice) * static_cast<std::size_t>(slices);
        if (f.voxels->read(buffer.get(), bytes) < bytes) cut_off();
        detail::place_slices(ctx, buffer.get(), h, z, slices, volume.data());
      }
      // The checksum stands after the last volume: the others are inflated too, and their end is found.
      const std::uint64_t others = h.volume_bytes() * static_cast<std::uint64_t>(volumes - 1 - chosen);
      if (f.voxels->skip(others) < others) cut_off();
      const std::uint64_t after = f.voxels->skip(std::uint64_t{1} << 20);
      if (f.voxels->checksum_failed())
        f.info.findings.add(Severity::warning, "gzip.checksum", "the gzip checksum is wrong: voxels may be damaged");
      if (after + f.voxels->trailing_bytes() > 0)
        f.info.findings.add(Severity::note, "nifti.trailing", after > 0 ? after : f.voxels->trailing_bytes(),
                            " bytes or more follow the voxels and are ignored");
    }
    return {std::move(volume), std::move(f.info)};
  } catch (const Error& e) {
    throw e.at(path.string());
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
