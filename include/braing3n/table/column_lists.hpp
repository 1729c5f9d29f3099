// Names that columns of tables usually have, in plain form (column_names.hpp) and in order of preference.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

using NameList = std::span<const std::string_view>;

inline NameList scan_names() {
  static constexpr std::array<std::string_view, 14> names{
      "volumeid", "imageid", "scanid",   "imagedataid", "imageuid", "mriid",    "sessionlabel",
      "id",       "fileid",  "recordid", "caseid",      "case",     "filename", "file"};
  return names;
}
inline NameList subject_names() {
  static constexpr std::array<std::string_view, 32> names{"subjectid",
                                                          "participantid",
                                                          "subject",
                                                          "subid",
                                                          "subjid",
                                                          "participant",
                                                          "subj",
                                                          "sub",
                                                          "ptid",
                                                          "patientid",
                                                          "patient",
                                                          "eid",
                                                          "rid",
                                                          "patno",
                                                          "personid",
                                                          "person",
                                                          "srcsubjectid",
                                                          "subjectkey",
                                                          "subjectlabel",
                                                          "subjectname",
                                                          "subjectnumber",
                                                          "subjectno",
                                                          "subjectcode",
                                                          "subjectidentifier",
                                                          "participantlabel",
                                                          "participantcode",
                                                          "bidsid",
                                                          "ixiid",
                                                          "guid",
                                                          "anonymizedid",
                                                          "anonymisedid",
                                                          "anonid"};
  return names;
}
inline NameList site_names() {
  static constexpr std::array<std::string_view, 16> names{
      "site",   "siteid", "sitename", "sitecode", "sitenum",    "sitenumber", "siteno",      "scansite",
      "center", "centre", "centerid", "centreid", "centername", "centrename", "institution", "institutionname"};
  return names;
}
inline NameList sex_names() {
  static constexpr std::array<std::string_view, 15> names{
      "sex",      "gender",   "sexid",      "sexcode",    "biologicalsex",  "sexatbirth", "geneticsex", "m/f",
      "genderid", "ptgender", "patientsex", "subjectsex", "participantsex", "sexmf",      "gendermf"};
  return names;
}
inline NameList age_names() {
  static constexpr std::array<std::string_view, 20> names{
      "age",        "ageatscan",  "scanage",        "agescan",      "ageatmri",     "ageyears",         "ageinyears",
      "ageyrs",     "ageyr",      "ageatvisit",     "ageatsession", "ageatimaging", "ageatacquisition", "interviewage",
      "subjectage", "patientage", "participantage", "agey",         "agemri",       "ageatbaseline"};
  return names;
}
/// The day of a scan, the scan's own before the visit's; acq_time as in BIDS, examdate as in ADNI.
inline NameList session_date_names() {
  static constexpr std::array<std::string_view, 27> names{"sessiondate",
                                                          "scandate",
                                                          "dateofscan",
                                                          "scanningdate",
                                                          "acqdate",
                                                          "acquisitiondate",
                                                          "dateofacquisition",
                                                          "acqtime",
                                                          "mridate",
                                                          "dateofmri",
                                                          "mriscandate",
                                                          "imagedate",
                                                          "imagingdate",
                                                          "dateofimaging",
                                                          "studydate",
                                                          "examdate",
                                                          "dateofexam",
                                                          "visitdate",
                                                          "dateofvisit",
                                                          "interviewdate",
                                                          "datetime",
                                                          "acqdatetime",
                                                          "acquisitiondatetime",
                                                          "scandatetime",
                                                          "seriesdate",
                                                          "contentdate",
                                                          "date"};
  return names;
}
/// Days from a subject's first visit, or another day that is the same for all visits; MR Delay as in OASIS-2.
inline NameList days_names() {
  static constexpr std::array<std::string_view, 18> names{"days",
                                                          "mrdelay",
                                                          "daysfrombaseline",
                                                          "dayssincebaseline",
                                                          "daysafterbaseline",
                                                          "daysfrombl",
                                                          "dayssincebl",
                                                          "daysfromfirst",
                                                          "daysfromentry",
                                                          "dayssinceentry",
                                                          "daystovisit",
                                                          "daystoscan",
                                                          "daystosession",
                                                          "daysfromfirstvisit",
                                                          "dayssincefirstvisit",
                                                          "daysfromfirstscan",
                                                          "dayssincefirstscan",
                                                          "daysfromenrollment"};
  return names;
}
/// Further columns that say something about a subject or a scan and are no measurement of a brain.
inline NameList other_label_names() {
  static constexpr std::array<std::string_view, 66> names{"session",
                                                          "sessionid",
                                                          "ses",
                                                          "visit",
                                                          "visitid",
                                                          "viscode",
                                                          "timepoint",
                                                          "wave",
                                                          "run",
                                                          "runid",
                                                          "path",
                                                          "volumeindex",
                                                          "hash",
                                                          "sha256",
                                                          "md5",
                                                          "checksum",
                                                          "disease",
                                                          "diagnosis",
                                                          "dx",
                                                          "dxgroup",
                                                          "dxbl",
                                                          "sdx",
                                                          "group",
                                                          "groupid",
                                                          "label",
                                                          "target",
                                                          "class",
                                                          "status",
                                                          "dob",
                                                          "birthdate",
                                                          "yearofbirth",
                                                          "birthyear",
                                                          "handedness",
                                                          "hand",
                                                          "education",
                                                          "educationyears",
                                                          "yearsofeducation",
                                                          "edu",
                                                          "pteducat",
                                                          "race",
                                                          "ethnicity",
                                                          "ethnic",
                                                          "mmse",
                                                          "cdr",
                                                          "moca",
                                                          "updrs",
                                                          "edss",
                                                          "bmi",
                                                          "height",
                                                          "weight",
                                                          "iq",
                                                          "fiq",
                                                          "viq",
                                                          "piq",
                                                          "fold",
                                                          "split",
                                                          "partition",
                                                          "scanner",
                                                          "scannerid",
                                                          "scannerserialnumber",
                                                          "vendor",
                                                          "manufacturer",
                                                          "fieldstrength",
                                                          "magneticfieldstrength",
                                                          "modality",
                                                          "cohort"};
  return names;
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
