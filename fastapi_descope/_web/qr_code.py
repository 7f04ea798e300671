"""Draw QR codes as SVG. The only module that imports segno, which is an optional dependency."""

import asyncio
from dataclasses import dataclass, field

from ..errors import ConfigurationError

__all__ = ["QrCode", "QrCodes"]


@dataclass(frozen=True, slots=True)
class QrCode:
    """A QR code as SVG. ``repr`` does not show it, because it contains the whole text.

    Attributes:
        svg: An element for an HTML page.
        data_uri: The source of an image.
    """

    svg: str = field(repr=False)
    data_uri: str = field(repr=False)


class QrCodes:
    """Draws QR codes.

    Raises:
        ConfigurationError: The segno package is not installed.
    """

    def __init__(self) -> None:
        try:
            import segno  # noqa: PLC0415 - an optional package
        except ModuleNotFoundError:
            raise ConfigurationError(
                "DESCOPE_LOGIN_METHODS contains notp, and the segno package is not installed:"
                " pip install 'fastapi-descope[notp]'"
            ) from None
        self._make = segno.make_qr

    async def draw(self, text: str) -> QrCode:
        """Return the QR code of a text of at most 2,900 ASCII characters.

        It takes some 10 to 100 milliseconds, so it runs in a thread.
        """
        return await asyncio.to_thread(self._draw, text)

    def _draw(self, text: str) -> QrCode:
        code = self._make(text)
        # With a background: scanners need dark modules on a light one, also if the page is dark.
        return QrCode(
            svg=code.svg_inline(
                title="QR code", border=4, light="#fff", svgclass=None, lineclass=None, omitsize=True
            ),
            data_uri=code.svg_data_uri(border=4, light="#fff", svgclass=None, lineclass=None, omitsize=True),
        )
