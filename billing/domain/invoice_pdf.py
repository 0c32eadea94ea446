"""An invoice as PDF, by reportlab. The same invoice in the same state makes the same bytes.

Letters are FiraGO's, which `pymupdf-fonts` carries under the Open Font Licence: Latin, Greek, Cyrillic, Georgian, Hebrew,
Arabic, Devanagari, Thai. Chinese, Japanese and Korean are set in the fonts that every PDF reader brings along for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from itertools import groupby
from typing import Any, Final
from xml.sax.saxutils import escape

import pymupdf_fonts
from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.domain.invoice_text import Row, Text, text_of
from billing.models import Invoice, InvoiceLine

REGULAR: Final = "FiraGO"
BOLD: Final = "FiraGO-Bold"
JAPANESE, KOREAN, CHINESE = "HeiseiKakuGo-W5", "HYGothic-Medium", "STSong-Light"
UNKNOWN: Final = "\N{WHITE SQUARE}"  # for what no font here has

GREY = colors.HexColor("#666666")
MARGIN = 18 * mm
PADDING = 6  # of reportlab's frame
BODY = ParagraphStyle("body", fontName=REGULAR, fontSize=9, leading=12, splitLongWords=1)
SMALL = ParagraphStyle("small", BODY, fontSize=8, leading=10.5)
RIGHT = ParagraphStyle("right", SMALL, alignment=TA_RIGHT)
TITLE = ParagraphStyle("title", BODY, fontName=BOLD, fontSize=17, leading=22, spaceAfter=5 * mm)
COLUMNS = (9 * mm, 74 * mm, 26 * mm, 42 * mm, 23 * mm)


def pdf_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> bytes:
    _register_fonts()
    text, target = text_of(invoice, lines), BytesIO()
    sides = {f"{side}Margin": MARGIN - PADDING for side in ("left", "right", "top", "bottom")}
    document = SimpleDocTemplate(
        target, pagesize=A4, **sides, title=f"{text.title} {invoice.number}".strip(),
        author=invoice.seller["legal_name"], invariant=1,
    )  # fmt: skip
    document.build(_story(text), canvasmaker=_canvas_of(text.footer))
    return target.getvalue()


def _story(text: Text) -> list[Any]:
    return [
        _paragraph(text.title, TITLE),
        Table(
            [[_block(text.seller), _facts(text.facts)]], colWidths=(92 * mm, 82 * mm), style=_top()
        ),
        Spacer(1, 7 * mm),
        _paragraph("Billed to", ParagraphStyle("label", SMALL, textColor=GREY)),
        *_block(text.buyer),
        Spacer(1, 8 * mm),
        _lines(text.rows),
        Spacer(1, 4 * mm),
        _totals(text.totals),
        Spacer(1, 8 * mm),
        *(_paragraph(note, BODY) for note in text.notes),
    ]  # fmt: skip


def _block(lines: Sequence[str]) -> list[Any]:
    first, *others = lines or [""]
    return [
        _paragraph(first, ParagraphStyle("name", BODY, fontName=BOLD)),
        *(_paragraph(line, BODY) for line in others),
    ]


def _facts(facts: Sequence[tuple[str, str]]) -> Table:
    rows = [[_paragraph(name, ParagraphStyle("label", SMALL, textColor=GREY)), _paragraph(value, SMALL)]
            for name, value in facts]  # fmt: skip
    return Table(rows, colWidths=(30 * mm, 52 * mm), style=_top())


def _lines(rows: Sequence[Row]) -> Table:
    heading = [
        _paragraph(name, ParagraphStyle("head", SMALL, fontName=BOLD)) for name in ("#", "Description")
    ]
    heading += [
        _paragraph(name, ParagraphStyle("head", RIGHT, fontName=BOLD)) for name in ("Quantity", "Unit price", "Net amount")
    ]  # fmt: skip
    body = [
        [_paragraph(row.position, SMALL), _paragraph(row.description, SMALL), _paragraph(row.quantity, RIGHT),
         _paragraph(row.price, RIGHT), _paragraph(row.amount, RIGHT)]
        for row in rows
    ]  # fmt: skip
    style = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.6, colors.black),
            ("LINEBELOW", (0, 1), (-1, -1), 0.2, GREY),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
        ]
    )
    return Table([heading, *body], colWidths=COLUMNS, repeatRows=1, style=style)


def _totals(totals: Sequence[tuple[str, str]]) -> Table:
    bold = ParagraphStyle("total", RIGHT, fontName=BOLD)
    rows = [
        [_paragraph(name, bold if name == "Total" else RIGHT), _paragraph(value, bold if name == "Total" else RIGHT)]
        for name, value in totals
    ]  # fmt: skip
    return Table(rows, colWidths=(sum(COLUMNS) - 40 * mm, 40 * mm), style=_top())


def _top() -> TableStyle:
    return TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ]
    )


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    """Names hold whatever their owners like: nothing of it is markup."""
    runs = groupby(text, key=lambda char: _font_of(char, style.fontName))
    marked = "".join(_marked("".join(chars), font, style.fontName) for font, chars in runs)
    return Paragraph(marked, style)


def _marked(text: str, font: str, usual: str) -> str:
    if not font:
        return UNKNOWN * len(text)
    text = escape("".join(char if char.isprintable() else " " for char in text))
    return text if font == usual else f'<font name="{font}">{text}</font>'


def _font_of(char: str, usual: str) -> str:
    """Empty: none."""
    code = ord(char)
    if code in pdfmetrics.getFont(usual).face.charToGlyph or not char.isprintable():
        return usual
    if 0x3040 <= code <= 0x30FF or 0xFF00 <= code <= 0xFFEF:
        return JAPANESE
    if 0x1100 <= code <= 0x11FF or 0x3130 <= code <= 0x318F or 0xAC00 <= code <= 0xD7AF:
        return KOREAN
    return CHINESE if 0x3000 <= code <= 0x303F or 0x3400 <= code <= 0x9FFF else ""


@lru_cache(maxsize=1)
def _register_fonts() -> None:
    for name, file in ((REGULAR, "figo"), (BOLD, "figbo")):
        pdfmetrics.registerFont(TTFont(name, BytesIO(pymupdf_fonts.myfont(file))))
    for name in (JAPANESE, KOREAN, CHINESE):
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def _canvas_of(footer: str) -> type[Canvas]:
    """How many pages there are is known at the end, so the feet are written then."""

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 -- reportlab's name
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                foot = _paragraph(f"{footer} · page {number} of {len(self._pages)}", SMALL)
                foot.wrapOn(self, A4[0] - 2 * MARGIN, MARGIN)
                foot.drawOn(self, MARGIN, 9 * mm)
                super().showPage()
            super().save()

    return Numbered
