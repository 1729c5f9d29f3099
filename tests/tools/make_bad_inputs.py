#!/usr/bin/env python3
"""Makes the scans and tables of check_bad_inputs.sh in a folder, byte by byte from the NIfTI-1 standard's field table."""
import gzip
import struct
import sys
import zlib
from pathlib import Path

folder = Path(sys.argv[1])
SHAPE = (20, 24, 20)
COUNT = SHAPE[0] * SHAPE[1] * SHAPE[2]


def header(dim=(3, *SHAPE), datatype=4, bitpix=16, srow=((-2, 0, 0, 19), (0, -2, 0, 23), (0, 0, 2, -19)), magic=b"n+1\0"):
    h = bytearray(352)
    struct.pack_into("<i", h, 0, 348)
    struct.pack_into("<8h", h, 40, *(list(dim) + [1] * 8)[:8])
    struct.pack_into("<hh", h, 70, datatype, bitpix)
    struct.pack_into("<8f", h, 76, 1, 2, 2, 2, 1, 0, 0, 0)
    struct.pack_into("<3f", h, 108, 352, 1, 0)
    h[123] = 2
    struct.pack_into("<hh", h, 252, 0, 1)
    for r, row in enumerate(srow):
        struct.pack_into("<4f", h, 280 + 16 * r, *row)
    h[344:348] = magic
    return bytes(h)


def ball(value=lambda i: 100 + i * 37 % 101):
    """A ball of texture on a background of 0, as int16."""
    out = []
    for z in range(20):
        for y in range(24):
            for x in range(20):
                inside = (x - 9.5) ** 2 + (y - 11.5) ** 2 + (z - 9.5) ** 2 < 64
                out.append(value(x + 20 * y + 480 * z) if inside else 0)
    return out


voxels = ball()
shorts = struct.pack(f"<{COUNT}h", *voxels)
floats = [float(v) for v in voxels]
good = header() + shorts


def write(name, data):
    (folder / name).write_bytes(data)


def as_floats(values):
    return header(datatype=16, bitpix=32) + struct.pack(f"<{COUNT}f", *values)


write("good.nii", good)
write("truncated.nii", good[: len(good) // 2])
packed = gzip.compress(good, mtime=0)
write("truncated.nii.gz", packed[: len(packed) // 2])
damaged = bytearray(packed)
for i in range(len(damaged) // 2, len(damaged) // 2 + 40):
    damaged[i] ^= 0x5A
write("corrupt.nii.gz", bytes(damaged))
squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)  # 280 MB of zeros in 270 kB
bomb = squeeze.compress(header(dim=(3, 1000, 1000, 140)))
for _ in range(35):
    bomb += squeeze.compress(bytes(8_000_000))
write("bomb.nii.gz", bomb + squeeze.flush())
write("dims_huge.nii", header(dim=(3, 32767, 32767, 32767)) + shorts)
write("dims_beyond.nii", header(dim=(3, 300, 300, 300)) + shorts)
write("dims_beyond.nii.gz", gzip.compress(header(dim=(3, 300, 300, 300)) + shorts, mtime=0))
write("dims_zero.nii", header(dim=(3, 20, 0, 20)) + shorts)
write("dims_negative.nii", header(dim=(3, 20, -24, 20)) + shorts)
write("magic.nii", header(magic=b"nix\0") + shorts)
write("datatype.nii", header(datatype=9999) + shorts)
write("several.nii", header(dim=(4, *SHAPE, 3)) + shorts * 3)
write("empty.nii", b"")
write("text.nii", b"this is a letter, not a scan\n" * 40)
(folder / "folder.nii").mkdir()
write("singular.nii", header(srow=((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))) + shorts)
write("zero.nii", header() + bytes(2 * COUNT))
write("constant.nii", header() + struct.pack("<h", 7) * COUNT)
write("all_nan.nii", as_floats([float("nan")] * COUNT))
write("some_nan.nii", as_floats([float("nan"), float("inf")] + floats[2:]))
write("single_slice.nii", header(dim=(3, 20, 24, 1)) + shorts[960 * 9 : 960 * 10])


def table(name, text):
    (folder / name).write_text(text)


table("good.csv", "subject_id,path\na,good.nii\nb,good.nii\n")
table("duplicate.csv", "volume_id,subject_id,path\na,s,good.nii\na,t,good.nii\n")
table("age.csv", "subject_id,path,age\na,good.nii,seventy\n")
table("range.csv", "subject_id,path,age\na,good.nii,700\n")
table("sex.csv", "subject_id,path,sex\na,good.nii,x\n")
table("idh1.csv", "subject_id,path,idh1\na,good.nii,maybe\n")
table("ragged.csv", "subject_id,path\na,good.nii\nb\n")
table("noid.csv", "subject_id,path\n,good.nii\n")
table("escape.csv", "subject_id,path\n../../a,good.nii\n")
table("empty.csv", "")
table("column.csv", "subjct_id,path\na,good.nii\n")
table("nopath.csv", "subject_id,age\na,30\n")
table("missing.csv", "subject_id,path\na,good.nii\nb,gone.nii\n")
table("allgone.csv", "subject_id,path\nb,gone.nii\n")
table("unknown.csv", "subject_id,path,disease\na,good.nii,alzheimer\n")
