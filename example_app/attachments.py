"""Files of reports: limited in size, typed by their content, and sent so that a browser runs nothing."""

from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import undefer
from starlette.datastructures import UploadFile

from fastapi_descope import require_permissions

from .database import TenantSession
from .models import Attachment
from .page import redirect
from .reports import CurrentShelf

__all__ = ["LIMIT", "attachments_of", "router"]

router = APIRouter(include_in_schema=False)

LIMIT = 1024 * 1024
_FORM_OVERHEAD = 4096
_SIGNATURES = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
_HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

MayWrite = Depends(require_permissions("reports.write"))


async def attachments_of(report_id: str, db: TenantSession) -> list[Attachment]:
    """Return the attachments of a report without their content."""
    return [
        *await db.scalars(
            select(Attachment).where(Attachment.report_id == report_id).order_by(Attachment.name)
        )
    ]


@router.post("/reports/{report_id}/attachments", dependencies=[MayWrite])
async def attach(request: Request, report_id: str, shelf: CurrentShelf, db: TenantSession) -> Response:
    """Attach a file. Its length is checked before the form is read."""
    report = await shelf.get(report_id)
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(status.HTTP_411_LENGTH_REQUIRED)
    if int(length) > LIMIT + _FORM_OVERHEAD:
        raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, "A file may have 1 MB")
    async with request.form(max_files=1, max_fields=0) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "The form has no file")
        content = await file.read(LIMIT + 1)
        name = file.filename
    if len(content) > LIMIT:
        raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, "A file may have 1 MB")
    db.add(Attachment(report_id, _safe_name(name), _content_type(content), len(content), content))
    await shelf.commit(report, "attached a file to")
    return redirect(request, f"/reports/{report_id}")


@router.get("/reports/{report_id}/attachments/{attachment_id}")
async def download(report_id: str, attachment_id: str, db: TenantSession) -> Response:
    """Download a file. The browser saves it, whatever it is."""
    attachment = await _get(db, report_id, attachment_id)
    disposition = f"attachment; filename*=UTF-8''{quote(attachment.name, safe='')}"
    headers = {**_HEADERS, "Content-Disposition": disposition}
    return Response(attachment.content, media_type=attachment.content_type, headers=headers)


@router.post("/reports/{report_id}/attachments/{attachment_id}/delete", dependencies=[MayWrite])
async def remove(
    request: Request, report_id: str, attachment_id: str, shelf: CurrentShelf, db: TenantSession
) -> Response:
    report = await shelf.get(report_id)
    await db.delete(await _get(db, report_id, attachment_id))
    await shelf.commit(report, "removed a file from")
    return redirect(request, f"/reports/{report_id}")


async def _get(db: TenantSession, report_id: str, attachment_id: str) -> Attachment:
    query = select(Attachment).where(Attachment.report_id == report_id, Attachment.id == attachment_id)
    attachment = await db.scalar(query.options(undefer(Attachment.content)))
    if attachment is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return attachment


def _safe_name(name: str) -> str:
    """Return the last part of a file name, without control characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable())[-200:] or "file"


def _content_type(content: bytes) -> str:
    """Return the type by the content. The type that the browser names is ignored."""
    for signature, content_type in _SIGNATURES.items():
        if content.startswith(signature):
            return content_type
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "Not a PDF, PNG, JPEG, GIF or text")
    return "text/plain"
