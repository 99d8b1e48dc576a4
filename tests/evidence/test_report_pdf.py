"""The report is PDF/A-3u as far as can be seen without a validator of its own (ISO 19005-3).

No validator is packaged for Python, npm or Debian; these are the parts that a file of ours can get
wrong: who it says it is, colours, fonts and what they mean, attachments, nothing that runs.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    StreamObject,
    TextStringObject,
)

from tests.evidence.verifier_corpus import built, unpacked

RUNS = {"/JavaScript", "/JS", "/Launch", "/OpenAction", "/AA", "/XFA", "/RichMedia", "/Movie"} | {
    "/Sound",
    "/ResetForm",
    "/ImportData",
}
RELATIONS = {"/Source", "/Data", "/Alternative", "/Supplement", "/Unspecified"}


@cache
def report() -> bytes:
    return unpacked(built("range"))["00-report.pdf"]


def faults(pdf: bytes) -> list[str]:
    """What keeps a file from being PDF/A-3u, in words."""
    reader = PdfReader(BytesIO(pdf))
    if reader.is_encrypted:
        return ["it is encrypted"]
    return [
        *_identity(pdf, reader),
        *_colours(reader),
        *_fonts(reader),
        *_attachments(reader),
        *_objects(reader),
    ]


def _identity(pdf: bytes, reader: PdfReader) -> Iterator[str]:
    if not re.match(rb"%PDF-1\.[4-7]\n%[\x80-\xff]{4}", pdf):
        yield "its header is not of PDF 1.7 with four high bytes"
    if len(reader.trailer.get("/ID", ())) != 2:
        yield "it has no identifier"
    metadata = reader.root_object.get("/Metadata")
    if metadata is None:
        yield "it has no metadata"
        return
    xmp = metadata.get_object().get_data().decode()
    for name, value in (("part", "3"), ("conformance", "U")):
        if not re.search(rf"pdfaid:{name}(?:>|=\"){value}[<\"]", xmp):
            yield f"its metadata does not say {name} {value}"
    title = str(reader.metadata and reader.metadata.title)
    if title not in xmp:
        yield "its two titles differ"


def _colours(reader: PdfReader) -> Iterator[str]:
    intents = reader.root_object.get("/OutputIntents", ())
    if [one.get_object().get("/S") for one in intents] != ["/GTS_PDFA1"]:
        yield "it does not say what its colours mean"
        return
    profile = intents[0].get_object()["/DestOutputProfile"].get_object()
    if profile["/N"] != 3 or profile.get_data()[36:40] != b"acsp":
        yield "its colour profile is none for three colours"


def _fonts(reader: PdfReader) -> Iterator[str]:
    seen = 0
    for one in _all(reader):
        if not isinstance(one, DictionaryObject) or one.get("/Type") != "/Font":
            continue
        seen += 1
        name = one.get("/BaseFont")
        if one["/Subtype"] == "/Type0":
            if "/ToUnicode" not in one:
                yield f"nobody knows what the signs of {name} mean"
            continue
        told = one.get("/FontDescriptor", DictionaryObject()).get_object()
        if not told.keys() & {"/FontFile", "/FontFile2", "/FontFile3"}:
            yield f"{name} is not in it"
        if one["/Subtype"] == "/CIDFontType2" and "/CIDToGIDMap" not in one:
            yield f"{name} does not say which sign is which shape"
    if not seen:
        yield "it has no font"
    if any("\ufffd" in page.extract_text() for page in reader.pages):
        yield "a sign means nothing"


def _attachments(reader: PdfReader) -> Iterator[str]:
    # WeasyPrint names it twice, which nothing forbids.
    named = {one.idnum: one.get_object() for one in reader.root_object.get("/AF", ())}
    attached = list(named.values())
    if len(attached) != 1:
        yield "its root does not name the one attached file"
    for one in attached:
        if one.get("/AFRelationship") not in RELATIONS:
            yield "it does not say what an attached file is to it"
        if not {"/F", "/UF", "/EF"} <= one.keys():
            yield "an attached file has no name, or is not in it"
            continue
        file = one["/EF"]["/F"].get_object()
        if "/Subtype" not in file or "/ModDate" not in file.get("/Params", {}):
            yield "an attached file has no kind, or no date"


def _objects(reader: PdfReader) -> Iterator[str]:
    for one in _all(reader):
        if not isinstance(one, DictionaryObject):
            continue
        if what := RUNS & {
            *one.keys(),
            *(str(v) for v in one.values() if isinstance(v, NameObject)),
        }:
            yield f"it runs something: {min(what)}"
        if isinstance(one, StreamObject) and ("/F" in one or "/LZW" in str(one.get("/Filter"))):
            yield "a part of it lies elsewhere, or is packed by LZW"
        if one.get("/Type") == "/Annot" and one.get("/Subtype") != "/Popup":
            flags = int(one.get("/F", 0))
            if not flags & 4 or flags & 0b100011:
                yield "a note on a page is not printed"


def _all(reader: PdfReader) -> Iterator[Any]:
    """Every object that the root leads to."""
    waiting, seen = [reader.trailer["/Root"]], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, IndirectObject):
            if one.idnum in seen:
                continue
            seen.add(one.idnum)
            one = one.get_object()
        if isinstance(one, DictionaryObject):
            waiting += one.values()
        elif isinstance(one, ArrayObject):
            waiting += one
        yield one


def test_the_report_is_pdf_a_3u():
    assert faults(report()) == []


def _font(writer: PdfWriter, kind: str) -> DictionaryObject:
    return next(
        one
        for one in _all(PdfReaderOf(writer))
        if isinstance(one, DictionaryObject)
        and one.get("/Type") == "/Font"
        and one["/Subtype"] == kind
    )


class PdfReaderOf:
    """A writer, to be walked like a reader."""

    def __init__(self, writer: PdfWriter) -> None:
        self.trailer = {"/Root": writer.root_object}


def _attached(writer: PdfWriter) -> DictionaryObject:
    found: DictionaryObject = writer.root_object["/AF"][0].get_object()
    return found


def _metadata(writer: PdfWriter, old: bytes, new: bytes) -> None:
    stream = writer.root_object["/Metadata"].get_object()
    assert old in stream.get_data()
    stream.set_data(stream.get_data().replace(old, new))


def _script(writer: PdfWriter) -> None:
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(
        {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("1")}
    )


BROKEN: dict[str, tuple[Callable[[PdfWriter], Any], str]] = {
    "of another part": (
        lambda w: (
            _metadata(w, b"pdfaid:part>3", b"pdfaid:part>2")
            if b"pdfaid:part>3" in w.root_object["/Metadata"].get_object().get_data()
            else _metadata(w, b'pdfaid:part="3"', b'pdfaid:part="2"')
        ),
        "part 3",
    ),
    "without metadata": (lambda w: w.root_object.pop("/Metadata"), "no metadata"),
    "without colours": (lambda w: w.root_object.pop("/OutputIntents"), "what its colours mean"),
    "with a font that is elsewhere": (
        lambda w: _font(w, "/CIDFontType2")["/FontDescriptor"].get_object().pop("/FontFile2"),
        "is not in it",
    ),
    "with signs that mean nothing": (
        lambda w: _font(w, "/Type0").pop("/ToUnicode"),
        "nobody knows",
    ),
    "without its attachment": (lambda w: w.root_object.pop("/AF"), "the one attached file"),
    "with an attachment of no relation": (
        lambda w: _attached(w).pop("/AFRelationship"),
        "what an attached file is",
    ),
    "with an attachment that is elsewhere": (lambda w: _attached(w).pop("/EF"), "not in it"),
    "with a script": (_script, "it runs something"),
    "that is encrypted": (lambda w: w.encrypt("x", algorithm="AES-256"), "encrypted"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_report_that_is_not_pdf_a_is_noticed(kind):
    change, reason = BROKEN[kind]
    writer = PdfWriter(clone_from=BytesIO(report()))
    change(writer)
    out = BytesIO()
    writer.write(out)

    assert any(reason in fault for fault in faults(out.getvalue())), faults(out.getvalue())
