"""The page of an audit: what was found, in pictures, and a gallery in which to decide."""

from unpoison.reporting.audit.page import audit_page

__all__ = ["audit_page"]
