"""Tags that a result is meant to have otherwise than its original, each group with the reason."""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Intended:
    """Tags that may differ.

    Attributes:
        reason: Why.
        tags: Patterns of their group and name, as exiftool's -G1 has them.
        note: What a note of the result must contain for it; "" where it needs no note.
    """

    reason: str
    tags: tuple[str, ...]
    note: str = ""


STORED_AS = "its colours are stored as"
"""Start of what the benchmark notes of a picture in CMYK or Lab."""

INTENDED = (
    Intended(
        "the file itself, its container and coding",
        (
            *("System:*", "File:*", "ExifTool:*", "Composite:*", "JFIF:*", "RIFF:*", "GIF:*"),
            *("Adobe:*", "Ducky:*", "AdobeCM:*", "QuickTime:*", "Track1:*", "Jpeg2000:*"),
            *("HEIC:*", "AVIF:*", "JXL:*", "Meta:*", "ExifByteOrder", "*:ExifByteOrder"),
            *("PNG-pHYs:*", "PNG-cICP:*", "ICC-header*:*", "ICC-view*:*", "ICC-meas*:*"),
            *("PNG:BitDepth", "PNG:ColorType", "PNG:Compression", "PNG:Filter", "PNG:Interlace"),
            *("PNG:Palette", "PNG:Transparency", "PNG:SignificantBits", "PNG:BackgroundColor"),
            *("IFD0:Compression", "IFD0:*Byte*", "IFD0:*Offset*", "IFD0:RowsPerStrip"),
            *(
                "IFD0:TileWidth",
                "IFD0:TileLength",
                "IFD0:YCbCr*",
                "IFD0:Predictor",
                "IFD0:T?Options",
            ),
            *("IFD0:ReferenceBlackWhite", "IFD0:SampleFormat", "IFD0:FillOrder", "IFD0:JPEG*"),
            *("IFD0:BitsPerSample", "IFD0:SamplesPerPixel", "IFD0:PlanarConfiguration"),
            *("IFD0:PhotometricInterpretation", "IFD0:ColorMap", "IFD0:ExtraSamples"),
            *("IFD0:InkSet", "IFD0:*SampleValue", "IFD0:Matteing", "IFD0:PageNumber"),
            *("IFD0:SubfileType", "IFD0:OldSubfileType", "IFD0:OtherImage*"),
            *("XMP-tiff:Compression", "XMP-tiff:BitsPerSample", "XMP-tiff:SamplesPerPixel"),
            *("XMP-tiff:PhotometricInterpretation", "XMP-tiff:PlanarConfiguration"),
            *("XMP-tiff:YCbCr*", "XMP-dc:Format", "XMP-exif:NativeDigest", "XMP-tiff:NativeDigest"),
        ),
    ),
    Intended(
        "the size of the result, which lies upright; some files say another than their own",
        (
            *("*:ImageWidth", "*:ImageHeight", "*:ExifImageWidth", "*:ExifImageHeight"),
            *("*:RelatedImageWidth", "*:RelatedImageHeight", "*:Orientation"),
        ),
    ),
    Intended(
        "thumbnails, previews, gain maps and further pictures, which a result has not",
        (
            *("IFD[1-9]:*", "IFD1[0-9]:*", "SubIFD*:*", "PreviewIFD:*", "MPF?:*", "MPImage?:*"),
            *("GlobParamIFD:*", "*:Thumbnail*", "*:PreviewImage*", "*:PhotoshopThumbnail"),
            *("IFD0:Preview*", "XMP-xmpGImg:*", "XMP-xmp:Thumbnails*", "XMP-hdrgm:*"),
            *("ICC_Profile[2-9]:*", "XMP-depthData:*", "XMP-depthBlurEffect:*"),
            *("XMP-portraitLightingEffect:*", "XMP-apdi:*", "XMP-HDRGainMap:*"),
            *("XMP-GContainer:*", "XMP-Container:*"),
        ),
    ),
    Intended(
        "frames of an animation and where they lie on its canvas",
        ("PNG:Animation*", "PNG:Virtual*", "PNG:ImageOffset"),
    ),
    Intended(
        "layers, slices and other parts of a Photoshop file, and how its window showed it",
        (
            *(
                "Photoshop:Layer*",
                "Photoshop:Slices*",
                "Photoshop:NumSlices",
                "Photoshop:?Resolution",
            ),
            *("Photoshop:DisplayedUnits?", "Photoshop:HasRealMergedData", "Photoshop:*Name"),
            *("Photoshop:NumChannels", "Photoshop:BitDepth", "Photoshop:ColorMode"),
            *("Photoshop:Compression", "Photoshop:IPTCDigest"),
        ),
    ),
    Intended(
        "the time and the program that wrote the file, and the versions of an edited document",
        (
            *("IFD0:Software", "XMP-x:XMPToolkit", "XMP-xmp:CreatorTool", "XMP-xmpMM:*"),
            *("XMP-iptcExt:DigitalSourceType", "PNG:ModifyDate"),
        ),
    ),
    Intended(
        "colours that became a profile, or that sRGB says",
        (
            *("PNG:WhitePoint?", "PNG:Red?", "PNG:Green?", "PNG:Blue?", "PNG:Gamma"),
            *("PNG:SRGBRendering", "PNG:ProfileName", "IFD0:WhitePoint", "XMP-exif:ColorSpace"),
            *("IFD0:PrimaryChromaticities", "XMP-photoshop:ICCProfileName"),
        ),
    ),
    Intended("CMYK and Lab become Adobe RGB", ("ICC_Profile*:*",), STORED_AS),
    Intended(
        "a profile that is broken or does not suit its pixels",
        ("ICC_Profile*:*", "PNG:ICC_Profile"),
        "profile",
    ),
    Intended(
        "parts of XMP that were put together, or found where they do not belong",
        ("XMP-xmpNote:HasExtendedXMP", "PNG:XMLcomadobexmp"),
    ),
    Intended("signed for the original alone", ("JUMBF*:*", "CBOR*:*"), "C2PA"),
    Intended("crop and settings of a raw file, which are applied already", ("XMP-crs:*",)),
    Intended("how a raw file is to be developed, which it was", ("IFD0:*",), "was developed"),
    Intended(
        "how a DNG is to be developed; in other TIFFs these tags mean nothing",
        ("IFD0:DefaultCropSize", "IFD0:BestQualityScale", "IFD0:BaselineNoise", "IFD0:BlackLevel"),
    ),
    Intended(
        "parts that stand beside the picture",
        (
            *("JUMBF*:*", "FLIR:*", "FlashPix:*", "RMETA:*", "SPIFF:*", "CIFF:*", "AVI1:*"),
            *("MetaIFD:*", "PrintIM:*", "NITF:*", "Qualcomm:*", "MediaJukebox:*", "JPEG-HDR:*"),
            *("JSON:*", "PictureInfo:*", "GraphConv:*", "GoPro:*", "InfiRay:*", "Ocad:*"),
            *("HPAPP6:*", "DJI*:*", "Casio:*", "Scalado:*", "Stim:*", "QVCI:*", "GE:*"),
            *("Motorola:*", "AROT:*", "Parrot:*", "JPS:*"),
        ),
        "beside the picture",
    ),
    Intended(
        "what a program put behind the picture",
        ("PhotoMechanic:*", "FotoStation:*", "IPTC2:*", "Samsung:*", "CanonVRD:*", "Vivo:*"),
        "behind the picture",
    ),
    Intended(
        "boxes of JPEG 2000 beside the picture",
        ("XML*:*", "GeoTiff:*", "IFD0:PixelScale", "IFD0:ModelTiePoint"),
        "into boxes beside the picture",
    ),
    Intended("pictures behind the main one", ("ICC_Profile[2-9]:*", "Samsung:*"), "left out"),
    Intended("maker notes that cannot be moved", ("*",), "maker notes hold only where they lay"),
    Intended("comments of a GIF become those of a PNG", ("PNG:Comment",)),
)


def reason_for(tag: str, notes: Collection[str]) -> str:
    """Why a tag may differ; "" if it may not.

    Args:
        tag: Its group and name.
        notes: What the result says of what it lacks.
    """
    for one in INTENDED:
        if one.note and not any(one.note in note for note in notes):
            continue
        if any(fnmatchcase(tag, pattern) for pattern in one.tags):
            return one.reason
    return ""
