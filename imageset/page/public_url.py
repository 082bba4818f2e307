"""A photo's URL without what may be secret. Pure."""

import re

from imageset.errors import BadUrl
from imageset.web import urls


def public_url(url: str) -> str:
    """Return a URL without user, password, parameters, query and fragment; "" where ingest would not take it.

    Signatures and sessions are in these parts. URLs of buckets and folders have no such parts, and are no links.

    >>> public_url("https://me:secret@shop.example:8443/a/b.jpg;session=7?signature=1#x")
    'https://shop.example:8443/a/b.jpg'
    >>> public_url("s3://old-photos/red hat.jpg"), public_url("javascript:alert(1)")
    ('s3://old-photos/red hat.jpg', '')
    """
    if re.match("s3://|file:///", url, re.IGNORECASE):
        return url
    try:
        target = urls.parse(url)
    except BadUrl:
        return ""
    return re.sub(r";[^/]*", "", str(target.with_user(None).with_query(None).with_fragment(None)))
