// What a generative model made of a scan or of noise, with the record of how.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/sample_record.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A volume and its record (SampleRecord, ForecastRecord). Files always carry the mark.
template <class Record>
class SyntheticResult {
 public:
  SyntheticResult(std::shared_ptr<Context<Cpu>> context, Volume volume, Record record)
      : context_(std::move(context)), volume_(std::move(volume)), record_(std::move(record)) {}

  const Volume& volume() const { return volume_; }
  const Record& record() const { return record_; }
  /// "SYNTHETIC braing3n ...", the description in the file's header.
  std::string description() const { return synthetic_description(record_); }

  /// Writes folder/record().file and its sidecar .json, which records how it was made. Makes the folder. Returns the path of the volume. Throws
  /// Error (file), also when one of the two exists and may not be overwritten.
  std::filesystem::path write(const std::filesystem::path& folder, const WriteOptions& write = {}) const {
    make_folder(folder);
    write_sample(*context_, folder, volume_, record_, write);
    return folder / record_.file;
  }

 private:
  std::shared_ptr<Context<Cpu>> context_;
  Volume volume_;
  Record record_;
};

}  // namespace braing3n::inline BRAING3N_ABI
