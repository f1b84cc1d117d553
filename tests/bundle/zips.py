"""Bundles built by hand, sound ones and others."""

import hashlib
import warnings
import zipfile

from edgekd.bundle.document import NAME, Bundle, Digest

PIPELINE = b"name: small\n"


def document(members, **changes):
    """Return the text of a `bundle.json` that lists members with their true digests."""
    listed = {
        name: Digest(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        for name, data in members.items()
    }
    asked = {"pipeline": "small", "file": "/w/p.yaml", "sets": [], "targets": [], "until": None,
             "command": "edgekd run p.yaml"}  # fmt: skip
    known = {
        "edgekd": "0.1.0", "created_at": "2026-01-01T00:00:00+00:00", "exit_code": 0,
        "request": asked, "machine": {}, "packages": [], "plugins": [], "targets": {},
        "paths": {}, "data": [], "stages": [], "members": listed,
    }  # fmt: skip
    return Bundle.model_validate(known | changes)


def pack(file, members, *, listed=None, text=None, edit=lambda info: None):
    """Write members and the document that lists them; `edit` may spoil each member's header."""
    text = document(members if listed is None else listed).text() if text is None else text
    named = [*members.items()] if isinstance(members, dict) else members
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        for name, data in [(NAME, text), *named]:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name != NAME:
                edit(info)
            archive.writestr(info, data)
    return file


def rebuilt(file, out, change):
    """Write a bundle again after `change(document, members)` edited both as plain values."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    found = Bundle.model_validate_json(members.pop(NAME)).model_dump()
    change(found, members)
    found["members"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in members.items()
    }
    return pack(out, members, text=Bundle.model_validate(found).text())
