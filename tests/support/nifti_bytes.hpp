// NIfTI files made byte by byte from the standard's field table, independently of the library that reads them.
#pragma once

#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/scratch_folder.hpp"

namespace braing3n::test {

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string gzip(const std::string& bytes, int level = 6) {
  z_stream z{};
  deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, static_cast<uLong>(bytes.size())) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

struct NiftiBytes {
  int version = 1;
  bool big_endian = false;
  bool single = true;
  std::array<std::int64_t, 8> dim{3, 4, 5, 6, 1, 1, 1, 1};
  std::array<double, 8> pixdim{1, 1, 1, 1, 1, 0, 0, 0};
  int datatype = 16, bitpix = 32;
  double offset = -1;  // -1: right after the header
  double slope = 1, intercept = 0;
  int qform_code = 0, sform_code = 0, units = 2, intent = 0;
  std::array<double, 6> quaternion{};  // b, c, d, x, y, z
  std::array<std::array<double, 4>, 3> srow{};
  std::string description;

  template <class T>
  void put(std::string& out, std::size_t at, T value) const {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) out[at + i] = raw[big_endian ? sizeof(T) - 1 - i : i];
  }
  std::string header() const {
    const bool v1 = version == 1;
    const std::size_t size = v1 ? 348 : 540;
    std::string h(size + (single ? 4 : 0), '\0');
    const double where = offset >= 0 || offset != -1 ? offset : single ? static_cast<double>(size + 4) : 0.0;
    put(h, 0, static_cast<std::int32_t>(size));
    const std::string magic = v1 ? (single ? std::string("n+1\0", 4) : std::string("ni1\0", 4))
                                 : (single ? std::string("n+2\0\r\n\032\n", 8) : std::string("ni2\0\r\n\032\n", 8));
    h.replace(v1 ? 344 : 4, magic.size(), magic);
    for (std::size_t d = 0; d < 8; ++d) {
      if (v1) put(h, 40 + 2 * d, static_cast<std::int16_t>(dim[d])), put(h, 76 + 4 * d, static_cast<float>(pixdim[d]));
      else put(h, 16 + 8 * d, dim[d]), put(h, 104 + 8 * d, pixdim[d]);
    }
    put(h, v1 ? 70 : 12, static_cast<std::int16_t>(datatype));
    put(h, v1 ? 72 : 14, static_cast<std::int16_t>(bitpix));
    if (v1) {
      put(h, 108, static_cast<float>(where)), put(h, 112, static_cast<float>(slope)),
          put(h, 116, static_cast<float>(intercept));
      put(h, 252, static_cast<std::int16_t>(qform_code)), put(h, 254, static_cast<std::int16_t>(sform_code));
      put(h, 68, static_cast<std::int16_t>(intent));
      h[123] = static_cast<char>(units);
    } else {
      put(h, 168, static_cast<std::int64_t>(where)), put(h, 176, slope), put(h, 184, intercept);
      put(h, 344, static_cast<std::int32_t>(qform_code)), put(h, 348, static_cast<std::int32_t>(sform_code));
      put(h, 500, static_cast<std::int32_t>(units)), put(h, 504, static_cast<std::int32_t>(intent));
    }
    for (std::size_t i = 0; i < 6; ++i) {
      if (v1) put(h, 256 + 4 * i, static_cast<float>(quaternion[i]));
      else put(h, 352 + 8 * i, quaternion[i]);
    }
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t c = 0; c < 4; ++c) {
        if (v1) put(h, 280 + 16 * r + 4 * c, static_cast<float>(srow[r][c]));
        else put(h, 400 + 32 * r + 8 * c, srow[r][c]);
      }
    h.replace(v1 ? 148 : 240, description.size(), description);
    return h;
  }
  /// f(i, j, k, volume) gives each stored value as double.
  template <class F>
  std::string voxels(F&& f) const {
    std::string out;
    std::int64_t volumes = 1;
    for (std::size_t d = 4; d <= 7; ++d) volumes *= static_cast<std::int64_t>(d) <= dim[0] ? dim[d] : 1;
    const std::int64_t nz = dim[0] >= 3 ? dim[3] : 1, ny = dim[0] >= 2 ? dim[2] : 1;
    for (std::int64_t t = 0; t < volumes; ++t)
      for (std::int64_t k = 0; k < nz; ++k)
        for (std::int64_t j = 0; j < ny; ++j)
          for (std::int64_t i = 0; i < dim[1]; ++i) append(out, f(i, j, k, t));
    return out;
  }

 private:
  template <class T>
  void one(std::string& out, double v) const {
    const std::size_t at = out.size();
    out.resize(at + sizeof(T));
    put(out, at, static_cast<T>(v));
  }
  void append(std::string& out, double v) const {
    switch (datatype) {
      case 2:
        return one<std::uint8_t>(out, v);
      case 4:
        return one<std::int16_t>(out, v);
      case 8:
        return one<std::int32_t>(out, v);
      case 16:
        return one<float>(out, v);
      case 64:
        return one<double>(out, v);
      case 256:
        return one<std::int8_t>(out, v);
      case 512:
        return one<std::uint16_t>(out, v);
      case 768:
        return one<std::uint32_t>(out, v);
      case 1024:
        return one<std::int64_t>(out, v);
      case 1280:
        return one<std::uint64_t>(out, v);
      default:
        throw std::runtime_error("type not made here");
    }
  }
};

}  // namespace braing3n::test
