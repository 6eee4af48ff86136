"""Which file names are those of photographs, whether this version reads their format or not.

A file of such a name that cannot be restored is a failure that a person must hear of. Any other
name (notes.txt, Picasa.ini) is no photograph's, and its file is left where it lies.
"""

_READ = ".jpg .jpeg .jpe .jfif .png .webp .tif .tiff .bmp .dib .gif .apng .mpo"
_NEWER = ".heic .heif .hif .avif .jxl .jp2 .j2k .jpf .jpx .jpm .j2c .jxr .wdp .hdp"
_OLDER = (
    ".ppm .pgm .pbm .pnm .pfm .pam .tga .sgi .rgb .rgba .bw .pcx .pcd .fpx .psd .psb .xcf .exr "
    ".hdr .dng .pdf .djvu .svg"
)
_RAW = (
    ".3fr .ari .arw .bay .cap .cr2 .cr3 .crw .dcr .dcs .erf .fff .gpr .iiq .k25 .kdc .mef .mos "
    ".mrw .nef .nrw .orf .ori .pef .ptx .pxn .r3d .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
_SUFFIXES = tuple(f"{_READ} {_NEWER} {_OLDER} {_RAW}".split())


def is_photo_name(name: str) -> bool:
    """Whether a file name ends as that of a photograph does, in any capitals."""
    return name.lower().endswith(_SUFFIXES)
